import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from presel.report.answers import Answers
from presel.report.card import card
from presel.report.contents import Beside, Contents, Copies, Copy, Face
from presel.report.gallery import PER_TASK, Shown, choose
from presel.report.packed import packed, unpacked
from presel.report.page import build_report, files_beside
from presel.report.pieces import gallery_page
from presel.runs.run_record import RunRecord
from presel.stages.report import gather
from tests.report.synthetic import TASKS

T = TypeVar("T")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & {{ 7 * 7 }}"
EVIL_FACE = Face(EVIL, EVIL)


@pytest.fixture(scope="module")
def contents(reported: RunRecord) -> Contents:
    assert reported.dataset is not None
    return gathered(reported)


def gathered(record: RunRecord) -> Contents:
    assert record.dataset is not None
    tables = {"clusters": record.clusters, "rankings": record.rankings, "plan": (record.plan,)}
    return gather(record.dataset, record.samples, record.model, record.config.source, tables=tables)


def test_the_same_contents_give_the_same_bytes(reported: RunRecord, contents: Contents) -> None:
    assert reported.dataset is not None
    again = gathered(reported)
    assert build_report(again) == build_report(contents)


def test_the_page_weighs_less_than_three_megabytes_and_names_no_other_host(contents: Contents) -> None:
    page = build_report(contents).decode()
    assert len(page) < 3_000_000
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert not re.search(r"url\((?!data:image/jpeg;base64,|report-[0-9a-f]{12}/sheet-)", page)
    assert "@import" not in page


def test_every_number_of_the_headline_is_on_the_page(contents: Contents) -> None:
    page = build_report(contents).decode()
    usable = sum(row["usable"] for row in contents.plan)
    assert f"<b>{len(contents.records)}</b> of {usable} usable ones" in page.replace("\n", " ")
    for row in contents.plan:
        assert f"{row['irs']:.3f}" in page


def test_kept_samples_have_a_column_of_their_own_so_that_a_row_adds_up(contents: Contents) -> None:
    kept = [{**row, "quota": row["quota"] - 3, "kept": 3} for row in contents.plan]
    page = build_report(replace(contents, plan=kept)).decode()
    (foot,) = re.findall(r"<tfoot>(.*?)</tfoot>", page, re.DOTALL)
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", foot)
    headings = re.findall(r'<th scope="col"[^>]*><button type="button">(.*?)</button>', page)
    shown = dict(zip(headings, cells, strict=False))
    assert (shown["Kept"], int(shown["Kept"]) + int(shown["Quota"])) == (
        "30",
        sum(row["quota"] for row in contents.plan),
    )
    assert "30 of them for an earlier version" in page
    assert ">Kept</button>" not in build_report(contents).decode()


def test_the_card_s_table_has_as_many_cells_in_every_row_with_kept_samples_and_without(contents: Contents) -> None:
    for kept in (0, 3):
        plan = [{**row, "kept": kept} for row in contents.plan]
        told = {
            "records": [{**row, "model": "m"} for row in contents.records],
            "rejects": contents.rejects,
            "changes": contents.changes,
        }
        page = card("x", 2, plan=plan, config=contents.config, **told)
        rows = [line for line in page.split("## What is in it")[1].split("##")[0].splitlines() if line.startswith("|")]
        assert ("kept" in rows[0]) == bool(kept)
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[: len(TASKS) + 3]}) == 1


def test_hostile_words_are_escaped_wherever_they_come_from(contents: Contents) -> None:
    assert contents.map is not None

    def renamed(rows: list[dict[str, object]], *columns: str) -> list[dict[str, object]]:
        return [{**row, **dict.fromkeys(columns, EVIL if row["task"] == "ocr" else row["task"])} for row in rows]

    turns = [{"question": EVIL, "response": EVIL}]
    evil_rows = {
        row["sample_id"]: {**row, "turns": turns, "model": EVIL}
        for row in renamed(list(contents.shown.rows()), "task", "key")
    }
    whole = contents.shown.completed(evil_rows)

    def retold(of_tasks: Mapping[str, T]) -> dict[str, T]:
        return {EVIL if task == "ocr" else task: rows for task, rows in of_tasks.items()}

    changes = {
        **contents.changes,
        "weights": {"moved": 0.1, "tasks": {EVIL: {"before": 0.1, "after": 0.2}}},
    }
    evil = replace(
        contents,
        plan=renamed(contents.plan, "task"),
        records=renamed(list(contents.records), "task"),
        scored=renamed(list(contents.scored), "task"),
        shown=replace(whole, gallery=retold(whole.gallery), ends=retold(whole.ends)),
        rejects=[dict.fromkeys(row, EVIL) for row in contents.rejects],
        config={**contents.config, EVIL: EVIL},
        digests={"version": "0123456789abcdef", EVIL: EVIL},
        libraries={EVIL: EVIL},
        changes=changes,
        date=EVIL,
        map=replace(contents.map, dots=[replace(dot, key=EVIL, why=EVIL, task=EVIL) for dot in contents.map.dots]),
        verdict=EVIL,
        answers=replace(
            contents.answers,
            tasks=[replace(one, task=EVIL, beginnings=((EVIL, 1.0),)) for one in contents.answers.tasks],
        ),
        refused_answers=[dict.fromkeys(("sample_id", "task", "key", "reason", "detail"), EVIL)],
        said={name: {"question": EVIL, "response": EVIL} for name in contents.said},
        beside={name: beside_in_evil_words(found) for name, found in contents.beside.items()},
        clusters=[replace(one, task=EVIL, first=EVIL_FACE, last=EVIL_FACE) for one in contents.clusters],
        copies=[Copies(EVIL, [Copy(EVIL, EVIL_FACE, EVIL_FACE, 0.99)], 1, [Copy(EVIL, EVIL_FACE, None, 0.9)])],
    )
    page = build_report(evil).decode()
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def beside_in_evil_words(found: Beside) -> Beside:
    assert found.skipped is not None
    dot = replace(found.skipped[0], sample_id=EVIL, key=EVIL, why=EVIL)
    return Beside((dot, 0.5), (dot, 0.5))


def test_what_the_script_reads_comes_back_to_the_letter_and_holds_no_markup() -> None:
    document = {"words": [EVIL, "\u202egnp.exe", "a" * 5000, "\x00", "ünï"]}
    assert unpacked(packed(document)) == document
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed(document))
    assert packed(document) == packed(document)
    assert unpacked(packed(["\udcff"])) == ["?"]


def test_more_instructions_than_the_page_holds_are_in_one_beside_it(
    contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presel.report.answers_data.INLINE", 3_000)
    page, files = build_report(contents).decode(), files_beside(contents)
    (name,) = re.findall(r'href="(report-[0-9a-f]{12}/instructions.html)"', page)
    held = re.findall(r'id="list-data" data-packed="([^"]+)"', files[name].decode())
    assert len(unpacked(held[0])["rows"]) == contents.answers.of + len(contents.refused_answers)
    assert files[name].decode().count("<script") == 1


def test_the_headline_says_what_was_decided_and_how_sure_it_is(contents: Contents) -> None:
    page = build_report(replace(contents, verdict="Too small for 3 of 10 tasks.")).decode()
    head = page[page.index("What was decided") : page.index('id="plan"')]
    assert "Too small for 3 of 10 tasks." in head
    assert "most of them in texture" in head
    assert "every task had enough distinct images" in head


def test_an_empty_pool_still_has_a_page(contents: Contents) -> None:
    nothing: dict[str, Any] = {name: [] for name in ("plan", "records", "scored", "rejects", "fit")}
    nothing |= {"clusters": (), "copies": (), "beside": {}, "answers": Answers(), "timing": None}
    bare = replace(contents, **nothing, shown=Shown({}, ([], []), {}), map=None, coverage=None, pictures={})
    page = build_report(bare).decode()
    assert "Nothing was picked" in page
    assert "Nothing was refused" in page
    assert 'id="map"' not in page


def test_a_picture_that_is_gone_is_said_to_be_gone(contents: Contents) -> None:
    page = build_report(replace(contents, pictures={})).decode()
    assert "the image is no longer there" in page
    assert "<img" not in page


def test_two_hundred_tasks_fit_on_a_page(contents: Contents) -> None:
    names = [f"task {i:03d}" for i in range(200)]
    plan = [{**contents.plan[i % len(TASKS)], "task": name, "weight": i / 19_900} for i, name in enumerate(names)]
    some = list(contents.shown.rows())
    records = [
        {**some[i % len(some)], "task": name, "sample_id": f"{i}-{j}", "origin": "selected"}
        | {"cluster": 0, "centrality": 0.5, "rank": j}
        for i, name in enumerate(names)
        for j in range(3)
    ]
    columns = {name: [row[name] for row in records] for name in ("sample_id", "task")}
    scored = [row for row in records if row["irs"] is not None]
    shown = choose(pa.table(columns | {"outcome": ["instructed"] * len(records)}), scored)
    shown = shown.completed({row["sample_id"]: row for row in records})
    pictures = {row["sample_id"]: b"x" * 10_000 for row in records}
    larger = replace(contents, plan=plan, records=records, scored=scored, shown=shown, pictures=pictures)
    page = build_report(larger).decode()
    assert len(page) < 4_000_000
    beside = {name for name in files_beside(larger) if "sheet" not in name}
    assert beside == set(re.findall(r'src="(report-[^"]+)"', page)) != set()
    assert all(f"<bdi>{name}</bdi>" in page for name in names)
    assert "160 tasks in between are left out here" in page


def test_the_plan_names_what_the_guard_left_out_where_there_is_one(contents: Contents) -> None:
    heading = '<button type="button">Near-copies</button>'
    assert heading not in build_report(contents).decode()
    page = build_report(replace(contents, guards={"caption": 0.9})).decode()
    assert heading in page
    assert "<small>from 0.900</small>" in page


def test_weights_that_are_not_a_plain_softmax_say_so(contents: Contents) -> None:
    adjusted = {
        **contents.config,
        "weights": {**contents.config["weights"], "floor": 0.1, "shrinkage": True, "size_prior": 0},
    }
    page = build_report(replace(contents, config=adjusted)).decode()
    assert "noisy task means are pulled towards the pool&#39;s; 0.1 of the weight is spread evenly" in page
    papers = {**contents.config, "weights": {**contents.config["weights"], "size_prior": 0}}
    assert "before this" not in build_report(replace(contents, config=papers)).decode()


def test_the_gallery_of_the_server_shows_the_pictures_that_are_there(contents: Contents) -> None:
    assert max(line["quota"] for line in contents.plan) > PER_TASK
    page = gallery_page(contents)
    assert page.count("data:image/jpeg") > len(TASKS)
    assert "(gone)" not in page
