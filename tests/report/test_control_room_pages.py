"""What the Prefect UI shows of a run: figures that add up, pictures that open, and nothing that runs over."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from presel.dataset import versions
from presel.errors import InputError
from presel.report import ui_pages
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from presel.tables import table_store
from presel.tables.schemas import rows_of
from tests.report.synthetic import TASKS

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
WIDEST = 10
"""Columns that the UI's table has room for."""


def pictures(markdown: str) -> list[Image.Image]:
    found = re.findall(r"!\[[^\]]*\]\(data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)\)", markdown)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_the_plan_has_a_row_a_task_and_their_sums(reported: RunRecord) -> None:
    rows = ui_pages.plan_rows(Summary(reported))
    plan = rows_of(table_store.read(reported.plan))
    assert [row["task"] for row in rows] == [*sorted(TASKS), "all"]
    assert [row["quota"] for row in rows[:-1]] == [row["quota"] for row in plan]
    assert rows[-1]["quota"] == sum(row["quota"] for row in plan)
    assert all(isinstance(value, str | int) for row in rows for value in row.values())
    assert len(rows[0]) <= WIDEST


def test_the_plan_says_how_many_the_guard_left_out_and_from_which_cosine(reported: RunRecord) -> None:
    selection = reported.config.selection.model_copy(update={"near_duplicate": 0.97})
    guarded = reported.model_copy(update={"config": reported.config.model_copy(update={"selection": selection})})
    rows = ui_pages.plan_rows(Summary(guarded))
    assert all(row["near-copies"].endswith(" from 0.970") for row in rows[:-1])
    left_out = Summary(guarded).reject_counts().get("near_duplicate", 0)
    assert (
        rows[-1]["near-copies"]
        == str(left_out)
        == str(sum(row["near_duplicates"] for row in Summary(guarded).task_rows()))
    )
    assert len(rows[0]) <= WIDEST


def test_the_plan_in_words_adds_up_and_names_the_cap(reported: RunRecord) -> None:
    quota = sum(row["quota"] for row in rows_of(table_store.read(reported.plan)))
    words = ui_pages.plan_words(Summary(reported))
    assert words.startswith(f"{quota} images to instruct beside the 30 of the reference set, of 600 usable ones.")
    assert "of its cap of $" in words
    assert "may end the run" not in words


def test_seats_that_went_to_another_task_are_not_called_empty(reported: RunRecord) -> None:
    run = Summary(reported)
    for row in run.plan:
        row["shortfall"] = 4
    assert ui_pages.plan_words(run).endswith(
        f" {4 * len(run.plan)} of the seats went from tasks too small for them to others."
    )


def test_a_plan_that_the_cap_will_not_pay_for_says_so(reported: RunRecord) -> None:
    generator = reported.config.generator.model_copy(update={"max_cost": 0.0001})
    tight = reported.model_copy(update={"config": reported.config.model_copy(update={"generator": generator})})
    assert "The cap may end the run" in ui_pages.plan_words(Summary(tight))


def test_one_reference_sample_has_a_score_and_no_interval(reported: RunRecord) -> None:
    run = Summary(reported)
    for row in run.plan:
        row["reference"] = 1
    assert not any("(" in row["IRS"] for row in ui_pages.plan_rows(run))


def test_the_form_that_asks_for_approval_shows_where_the_money_goes(reported: RunRecord) -> None:
    run = Summary(reported)
    asked = ui_pages.approval_markdown(run)
    for row in run.plan:
        assert (f"| {row['quota']:,} of {row['usable']:,} |" in asked) == bool(row["quota"])
    assert ui_pages.plan_words(run) in asked


def test_rejects_show_every_reason_with_its_count_and_examples(reported: RunRecord) -> None:
    run = Summary(reported)
    rows, words, page = (
        ui_pages.reject_rows(run),
        ui_pages.reject_words(run),
        ui_pages.result_markdown(run, LONG_AGO),
    )
    counts = run.reject_counts()
    assert len(rows) == len(run.rejects) == sum(counts.values())
    for reason, count in counts.items():
        shown = reason.replace("_", " ")
        assert f"{count} {shown}" in words
        examples = [row["key"] for row in rows if row["reason"] == shown]
        assert len(examples) == count
        assert any(example.split("/")[0] in page for example in examples)
        assert f"| {shown} | " in page


def test_a_run_that_publishes_nothing_says_so_before_anything_else(reported: RunRecord) -> None:
    assert reported.dataset is not None
    made = datetime.fromisoformat(versions.manifest(reported.dataset)["run"]["created"])
    said = {later: ui_pages.result_markdown(Summary(reported), made + timedelta(seconds=later)) for later in (-60, 60)}
    assert "Nothing has changed" not in said[-60]
    assert said[60].splitlines()[4].startswith("**Nothing has changed: version 2 of ")


def test_the_result_says_where_the_report_lies(reported: RunRecord) -> None:
    assert "presel report --to report.html" in ui_pages.result_markdown(Summary(reported), LONG_AGO)
    execution = reported.config.execution.model_copy(update={"store_url": "https://store.example/presel/"})
    served = reported.model_copy(update={"config": reported.config.model_copy(update={"execution": execution})})
    assert reported.report is not None
    address = f"https://store.example/presel/{reported.report.folder}/page.html"
    assert ui_pages.report_link(served) == address
    assert f"[The report]({address})" in ui_pages.result_markdown(Summary(served), LONG_AGO)


@pytest.mark.parametrize("name", ["plan", "map.md", "gallery.md"])
def test_markdown_inlines_real_pictures_and_stays_small(reported: RunRecord, name: str) -> None:
    markdown = (
        ui_pages.plan_markdown(Summary(reported)) if name == "plan" else ui_pages.made_with_the_report(reported, name)
    )
    assert len(markdown.encode()) < 200_000
    assert "<svg" not in markdown
    assert "<script" not in markdown
    shown = pictures(markdown)
    assert shown
    for picture in shown:
        picture.load()


def test_the_gallery_shows_a_row_a_task(reported: RunRecord) -> None:
    markdown = ui_pages.made_with_the_report(reported, "gallery.md")
    for task in TASKS:
        assert f"\n| {task} |" in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith(tuple(f"| {t}" for t in TASKS))} == {
        4
    }
    assert len(pictures(markdown)) >= 3 * len(TASKS)


def test_the_page_of_the_plan_has_all_there_is_to_decide_by(reported: RunRecord) -> None:
    run = Summary(reported)
    page = ui_pages.plan_markdown(run)
    assert ui_pages.plan_words(run) in page
    assert "Since the listing before:" in page
    assert "| task | usable | reference | IRS | weight | quota |" in page
    assert "| 15% | " in page
    for row in run.plan:
        assert f"\n| {row['task']} | {row['usable']} |" in page


def test_the_plan_can_be_shown_before_anything_is_published(reported: RunRecord) -> None:
    planned = reported.model_copy(update={"dataset": None, "report": None, "instructions": (), "selection": ()})
    assert ui_pages.plan_rows(Summary(planned)) == ui_pages.plan_rows(Summary(reported))
    assert pictures(ui_pages.weights_markdown(Summary(planned)))
    with pytest.raises(InputError, match="no report yet"):
        ui_pages.made_with_the_report(planned, "map.md")
