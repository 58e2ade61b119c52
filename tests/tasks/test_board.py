"""What the board of a run says, without a server: it is told of tasks and their progress, and makes a page of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from presel.concurrency.progress import Progress
from presel.tables.schemas import DatasetRef, Part, TableRef
from tasks.board import RUNNING, UNDER_WAY, Board


@pytest.fixture(autouse=True)
def no_server() -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield


def asked(label: str, done: int, total: int, spent: float = 0.0) -> Progress:
    figures = {"spent_usd": spent, "saved_usd": 0.0, "store_usd": 0.5 + spent, "cap_usd": 2.0}
    return Progress("instruct", label, done, total, "instructions", figures=figures)


def test_a_stage_adds_up_what_its_tasks_have_told_and_estimates_those_that_have_not_begun() -> None:
    board = Board("demo", "run")
    for _ in range(4):
        lane = board.begun("instruct", "instruct reference")
    board.listener("instruct", "a")(asked("reference chart", 2, 10))
    board.listener("instruct", "b")(asked("reference clock", 3, 10))
    assert "| instruct reference | 0 of 4 | 5 of about 40 instructions (12%) |" in board.page(RUNNING)
    board.ended(lane, "Completed")
    assert "| 1 of 4 |" in board.page(RUNNING)


def test_money_is_summed_over_tasks_and_held_against_the_cap() -> None:
    board = Board("demo", "run")
    board.listener("instruct", "a")(asked("reference chart", 1, 1, 0.2))
    board.listener("instruct", "b")(asked("reference clock", 1, 1, 0.3))
    assert "This run has spent $0.5000; the store $0.8000 of its cap of $2.00 (40.0%)." in board.line(RUNNING)


def test_an_endpoint_that_does_not_answer_is_said_in_the_line_that_matters_until_it_does() -> None:
    board = Board("demo", "run")
    board.begun("instruct", "instruct reference")
    hear = board.listener("instruct", "a")
    hear(replace(asked("reference chart", 1, 10), trouble="no answer for 40 s (connection: refused | 127.0.0.1)"))
    assert board.line(RUNNING).startswith(
        "Waiting for the endpoint. Instruct reference: 1 of 10 instructions (10%), no answer"
    )
    assert "(10%), no answer for 40 s (connection: refused | 127.0.0.1)." in board.line(RUNNING)
    assert board.page(RUNNING).startswith("## Waiting for the endpoint.")
    assert "no answer for 40 s (connection: refused \\| 127.0.0.1) |" in board.page(RUNNING)
    hear(asked("reference chart", 2, 10))
    assert "no answer" not in board.line(RUNNING) + board.page(RUNNING)
    assert board.page(RUNNING).startswith("## Running. instruct reference: 2 of 10")


def test_a_report_that_comes_again_replaces_the_one_before() -> None:
    board = Board("demo", "run")
    lane = board.begun("embed", "embed")
    hear = board.listener("embed", "a")
    for done in (10, 20, 30):
        hear(Progress("embed", "00000", done, 30, "images"))
    assert "30 of 30 images (100%)" in board.page(RUNNING)
    board.ended(lane, "Completed")
    assert "| embed | 1 of 1 | 30 images |  | 0 s |" in board.page(RUNNING)


def test_what_was_cached_or_failed_is_counted_apart() -> None:
    board = Board("demo", "run")
    lanes = [board.begun("rank", "rank") for _ in range(3)]
    for lane, state in zip(lanes, ("Cached", "Completed", "Failed"), strict=True):
        board.ended(lane, state)
    assert "| rank | 3 of 3 (1 cached, 1 failed) |" in board.page(RUNNING)


def test_a_run_that_has_ended_has_no_pace_and_says_how() -> None:
    board = Board("demo", "run")
    board.begun("instruct", "instruct")
    board.listener("instruct", "a")(asked("reference chart", 1, 4))
    page = board.page("Failed: no key")
    assert page.startswith("## Failed: no key\n")
    assert "left" not in page
    assert board.line("Failed: no key").startswith("Failed: no key.")


def test_a_board_that_has_ended_does_not_say_running_again() -> None:
    board = Board("demo", "run")
    lane = board.begun("instruct", "instruct")
    hear = board.listener("instruct", "a")
    hear(asked("reference chart", 1, 2))
    board.end("Stopped by a signal")
    board._next = 0.0
    hear(asked("reference chart", 2, 2))
    board.ended(lane, "Crashed")
    assert board._artifact._wanted is not None
    assert board._artifact._wanted[1].startswith("Stopped by a signal.")


def test_what_the_run_waits_for_stands_until_something_happens() -> None:
    board = Board("demo", "run")
    lane = board.begun("plan", "plan")  # shown at once; what follows within three seconds is shown later
    board.ended(lane, "Completed")
    later = board._later
    assert later is not None
    board.say("Waiting for approval")
    later.join(10)
    assert board._artifact._wanted is not None
    assert board._artifact._wanted[1].startswith("Waiting for approval.")


def test_the_last_thing_that_happened_is_shown_even_if_nothing_follows() -> None:
    board = Board("demo", "run")
    board.ended(board.begun("plan", "plan"), "Completed")
    later = board._later
    assert later is not None
    later.join(10)
    assert board._artifact._wanted is not None
    assert "| plan | 1 of 1 |" in board._artifact._wanted[0]


def test_the_board_says_how_long_a_stage_took_and_nothing_of_one_that_was_cached() -> None:
    board = Board("demo", "run")
    lane = board.begun("rank", "rank")
    board.ended(lane, "Cached")
    board.ended(board.begun("embed", "embed"), "Completed")
    board.listener("embed", "a")
    board.lanes[1].began = board.lanes[1].ceased - 125.0
    page = board.page("Completed")
    assert "| stage | tasks | done | time |" in page
    assert "| rank | 1 of 1 (1 cached) |  |  |" in page
    assert "| embed | 1 of 1 |  | 2 min |" in page


def test_the_board_links_to_the_run_and_to_what_it_shows_in_the_order_of_reading() -> None:
    board = Board("demo", "a-run")
    board.links("report", "https://store.example/page.html")
    board.links("plan", "an-id")
    assert (
        "Read: [the run](../../runs/flow-run/a-run) · [plan](./an-id) · [report](https://store.example/page.html)\n"
        in board.page(RUNNING)
    )


def test_a_board_is_under_way_until_its_run_has_ended_whatever_it_waits_for() -> None:
    board = Board("demo", "run")
    board.ended(board.begun("plan", "plan"), "Completed")
    assert UNDER_WAY in board.page(RUNNING)
    assert UNDER_WAY in board.page("Waiting for approval")
    board.end("Completed")
    assert UNDER_WAY not in board.page("Completed")


def test_every_output_has_a_row_that_says_where_it_lies_and_whether_it_was_found() -> None:
    board = Board("demo", "run")
    part = Part(label="chart", path="p", digest="d" * 32, rows=15, bytes=1)
    table = TableRef(stage="rank", store="s3://b/p", key="k", digest="d" * 32, rows=15, rejects=2, parts=(part,))
    lane = board.begun("rank", "rank")
    board.outputs.took("a", 1.25)
    board.ended(lane, "Completed", table, "a")
    board.ended(lane, "Cached", table, "b")
    board.ended(lane, "Failed", ValueError("no"), "c")
    board.ended(board.begun("price", "price"), "Completed", "## Pay?\n\nwords to show, and no address")
    dataset = DatasetRef(name="demo", version=3, uri="s3://b/p/datasets/demo/3", digest="e" * 32, records=40)
    board.ended(board.begun("publish", "publish", looks=True), "Completed", dataset, "d")
    rank, tables = ("rank", "chart", 15, 2), ("dddddddd", "tables/rank/k")
    assert board.outputs.rows == [
        (*rank, "made", "1.2", *tables),
        (*rank, "cached", "", *tables),
        ("publish", "demo", 40, "", "ran", "", "eeeeeeee", "datasets/demo/3"),
    ]
    assert board.outputs.words() == "3 outputs, 1 of them cached. Addresses are below s3://b/p."
    assert "| rank | chart | 15 | 2 | made | 1.2 | dddddddd | tables/rank/<br>k |\n" in board.outputs.page()
    assert "| rank | 3 of 3 (1 cached, 1 failed) | 30 rows |" in board.page(RUNNING)


PUBLISHED = DatasetRef(name="demo", version=12, uri="u", digest="d" * 32, records=367)
SPENT = {"spent_usd": 0.0514, "saved_usd": 0.0, "store_usd": 0.0514, "cap_usd": 1.0}


@pytest.mark.parametrize(
    ("came", "name"),
    [
        ("version 12: 367 added, 0 changed, 0 kept, 0 dropped", "refresh demo v12: 367 records, $0.0514"),
        ("nothing changed: version 12 stands", "refresh demo v12: nothing changed, $0.0514"),
    ],
)
def test_a_run_that_published_is_called_by_version_records_and_what_it_spent(came: str, name: str) -> None:
    board = Board("demo", "run")
    board.listener("instruct", "a")(Progress("instruct", "select", 1, 1, "instructions", figures=SPENT))
    lane = board.begun("publish", "publish", looks=True)
    board.listener("publish", "b")(Progress("publish", "demo", 367, 367, "records", came))
    board.ended(lane, "Completed", PUBLISHED, "b")
    assert board.name("refresh") == name


def test_a_run_that_only_reads_a_version_is_called_by_it_and_one_without_keeps_its_name() -> None:
    board = Board("demo", "run")
    assert board.name("housekeeping") == ""
    board.ended(board.begun("dataset version", "dataset version"), "Completed", PUBLISHED)
    assert board.name("export") == "export demo v12"
