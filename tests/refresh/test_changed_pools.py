"""Ten ways in which a pool changes between two refreshes: what is embedded, what is paid, what is published."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

from presel.config import BudgetConfig
from presel.dataset import versions
from presel.demo.pool import draw
from presel.errors import NotFound
from presel.runs.explain_image import explain
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.refresh.conftest import Pool, Refreshed


def put(pool: Pool, task: str, numbers: range, folder: str | None = None) -> list[str]:
    """Newly drawn pictures, under another folder if asked."""
    keys = []
    for number in numbers:
        drawn = draw(task, number, 0)
        file = pool.images / (folder or task) / f"new-{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(drawn.data)
        keys.append(file.relative_to(pool.images).as_posix())
    return keys


def chosen(run: Refreshed, task: str | None = None, origin: str = "selected") -> list[dict]:
    rows = [row for row in run.rows.values() if row["origin"] == origin and task in (None, row["task"])]
    return sorted(rows, key=lambda row: row["sample_id"])


def check(pool: Pool, before: Refreshed, after: Refreshed) -> None:
    """What holds after any change: sums, nothing paid twice, nothing lost, and a second look changes nothing."""
    plan = after.plan.values()
    usable, budget = after.record.samples.rows, pool.config.budget.share
    reference, kept, quota = (sum(row[name] for row in plan) for name in ("reference", "kept", "quota"))
    assert reference + kept + quota == max(int(budget * usable), reference + kept)
    assert Counter(row["origin"] for row in after.rows.values()) == {
        name: count for name, count in (("reference", reference), ("kept", kept), ("selected", quota)) if count
    }
    assert all(row["quota"] <= row["supply"] for row in plan)
    # Nothing was paid twice: every request that the endpoint ever saw is one answer in the ledger.
    added = [row for name, row in after.rows.items() if name not in before.rows]
    assert after.paid <= len(added) + sum(row["rejected"] for row in plan)
    present = {name for part in after.record.samples.split() for name in ids(part)}
    assert before.rows.keys() & present <= after.rows.keys()
    spent = sum(row["cost_usd"] for row in added)
    assert after.diff["records"]["spent_usd"] == pytest.approx(spent)
    again = pool.refresh()
    assert (again.paid, again.embedded, again.version) == (0, 0, after.version)


def ids(part: TableRef) -> list[str]:
    return table_store.read(part, ["sample_id"])["sample_id"].to_pylist()


def test_an_unchanged_pool_costs_nothing_and_publishes_nothing(pool):
    first = pool.last
    again = pool.refresh()
    assert (again.paid, again.embedded, again.version) == (0, 0, 1)
    assert [ref.key for ref in again.record.tables()] == [ref.key for ref in first.record.tables()]


def test_new_images_are_embedded_alone_and_what_is_paid_stays(pool):
    first, answers = pool.last, pool.answers()
    put(pool, "photo", range(900, 940))
    second = pool.refresh()
    assert second.embedded == 40
    assert second.version == 2
    assert second.diff["before"] == 1
    assert second.diff["records"]["dropped"]["records"] == 0
    assert second.diff["records"]["kept"]["records"] == len(first.rows)
    assert second.diff["records"]["selection_overlap"] == 1.0
    assert pool.answers() - answers == second.paid == len(second.rows) - len(first.rows)
    assert len(second.rows) == int(0.15 * second.record.samples.rows)
    check(pool, first, second)


def test_removed_images_leave_the_dataset_and_nothing_else_does(pool):
    first = pool.last
    without_a_copy = [row for row in chosen(first) if row["key"] != "chart/report.png"]
    gone = without_a_copy[:4]
    for row in gone:
        (pool.images / row["key"]).unlink()
    second = pool.refresh()
    assert second.embedded == 0
    assert set(second.diff["records"]["dropped"]["ids"]) == {row["sample_id"] for row in gone}
    assert second.diff["records"]["selection_overlap"] == pytest.approx(1 - 4 / len(chosen(first)))
    check(pool, first, second)


def test_images_uploaded_again_are_read_again_and_nothing_more(pool):
    first = pool.last
    for row in chosen(first)[:5]:
        file = pool.images / row["key"]
        os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1_000_000))
    second = pool.refresh()
    assert (second.embedded, second.paid, second.version) == (5, 0, 1)
    assert second.rows == first.rows


def test_a_renamed_image_is_the_same_sample_under_its_new_key(pool):
    first = pool.last
    row = chosen(first)[0]
    file = pool.images / row["key"]
    file.rename(file.with_name("another name" + file.suffix))
    second = pool.refresh()
    assert (second.embedded, second.paid, second.version) == (1, 0, 2)
    assert second.rows.keys() == first.rows.keys()
    assert second.rows[row["sample_id"]]["key"].endswith("another name" + file.suffix)
    assert {row["origin"] for row in second.rows.values()} == {"reference", "selected"}
    check(pool, first, second)


def test_a_new_task_gets_a_reference_set_and_a_weight_of_its_own(pool):
    first = pool.last
    put(pool, "photo", range(800, 830), folder="brand new")
    second = pool.refresh()
    assert second.embedded == 30
    assert second.plan["brand new"]["reference"] == 2
    assert second.plan["brand new"]["kept"] == 0
    assert second.plan["brand new"]["weight"] > 0
    assert second.diff["weights"]["tasks"]["brand new"]["before"] is None
    assert second.diff["weights"]["moved"] > 0
    check(pool, first, second)


def test_a_task_that_is_gone_takes_its_records_with_it(pool):
    first = pool.last
    shutil.rmtree(pool.images / "photo")
    second = pool.refresh()
    assert second.embedded == 0
    assert {row["task"] for row in first.rows.values()} - {row["task"] for row in second.rows.values()} == {"photo"}
    assert "photo" not in second.plan
    assert second.diff["weights"]["tasks"]["photo"]["after"] is None
    check(pool, first, second)


def test_an_overwritten_image_is_a_new_sample_and_the_old_one_is_gone(pool):
    first = pool.last
    row = chosen(first, "photo")[0]
    (pool.images / row["key"]).write_bytes(draw("photo", 950, 0).data)
    second = pool.refresh()
    assert second.embedded == 1
    assert row["sample_id"] not in second.rows
    check(pool, first, second)


def test_a_verdict_goes_with_the_object_it_was_about(pool):
    deleted, replaced = pool.images / "photo" / "bad one.jpg", pool.images / "photo" / "bad two.jpg"
    for file in (deleted, replaced):
        file.write_bytes(b"no picture")
    bad = [file.relative_to(pool.images).as_posix() for file in (deleted, replaced)]
    assert set(bad) <= {row["key"] for row in rejects(pool.refresh())}
    deleted.unlink()
    replaced.write_bytes(draw("photo", 951, 0).data)
    after = pool.refresh()
    assert not set(bad) & {row["key"] for row in rejects(after) if row["stage"] == "embed"}
    assert all(row["images"] == row["usable"] + row["rejected"] for row in after.plan.values())
    with pytest.raises(NotFound, match="not in the source any more"):
        explain(after.record, bad[0])
    told = explain(after.record, bad[1])
    assert "rejected at embed" not in told.verdict


def rejects(run: Refreshed) -> list[dict]:
    return table_store.decode(versions.file(run.record.dataset, "rejects.parquet")).to_pylist()


def test_copies_are_rejected_and_paid_for_by_nobody(pool):
    first = pool.last
    for row in chosen(first)[:6]:
        file = pool.images / row["key"]
        shutil.copy(file, file.with_name("zz copy of " + file.name))
    second = pool.refresh()
    assert (second.embedded, second.paid) == (6, 0)
    assert second.rows == first.rows
    check(pool, first, second)


def test_a_doubled_task_tops_its_reference_set_up(pool):
    first = pool.last
    images = first.plan["photo"]["usable"]
    put(pool, "photo", range(1000, 1000 + images))
    second = pool.refresh()
    assert second.embedded == images
    assert second.plan["photo"]["reference"] == int(0.05 * 2 * images + 0.5)
    drawn = {row["sample_id"] for row in chosen(first, "photo", "reference")}
    assert drawn <= second.rows.keys()
    check(pool, first, second)


def test_a_raised_budget_adds_and_drops_nothing(pool):
    first = pool.last
    second = pool.refresh(budget=BudgetConfig(share=0.2))
    assert second.embedded == 0
    assert first.rows.keys() < second.rows.keys()
    assert second.paid == len(second.rows) - len(first.rows)
    assert len(second.rows) == int(0.2 * second.record.samples.rows)
    check(pool, first, second)


def test_versions_build_on_each_other_and_a_pool_that_comes_back_pays_nothing(pool):
    first = pool.last
    keys = put(pool, "photo", range(900, 930))
    second = pool.refresh()
    for key in keys:
        (pool.images / key).unlink()
    third = pool.refresh()
    assert third.embedded == third.paid == 0
    assert first.rows.keys() <= third.rows.keys()
    assert (second.version, third.version) == (2, 3)
    assert pool.refresh().version == 3
