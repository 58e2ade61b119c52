"""What `history.keep` means, held to its words."""

from __future__ import annotations

import shutil

import pytest
from pydantic import ValidationError

from presel.config import BudgetConfig, GeneratorConfig, HistoryConfig, RefreshConfig, SelectionConfig
from presel.dataset import versions
from presel.errors import NotFound, SupplyError
from presel.report.ui_pages import plan_words
from presel.runs.explain_image import explain
from presel.runs.summary import Summary
from presel.stages.report import build_report
from presel.tables import table_store
from tests.refresh.conftest import Pool
from tests.refresh.test_changed_pools import chosen, put


def test_kept_samples_are_not_picked_again_and_stand_before_every_pick(pool: Pool):
    first = pool.last
    put(pool, "photo", range(900, 930))
    second = pool.refresh()
    kept = {row["sample_id"] for row in chosen(second, origin="kept")}
    assert kept == {row["sample_id"] for row in first.rows.values()} - {
        row["sample_id"] for row in chosen(second, origin="reference")
    }
    ranked = {name for ref in second.record.rankings for name in table_store.read(ref)["sample_id"].to_pylist()}
    assert not kept & ranked
    for ref in second.record.selection:
        rows = table_store.read(ref).to_pylist()
        assert [row["order"] for row in rows] == sorted(row["order"] for row in rows)
        assert {row["sample_id"] for row in rows if row["kept"]} == {
            row["sample_id"] for row in rows if row["order"] < 0
        }


def test_near_duplicates_of_kept_samples_are_left_out(pool: Pool):
    put(pool, "photo", range(900, 930))
    second = pool.refresh()
    kept = {row["key"] for row in chosen(second, origin="kept")}
    told = [row for ref in second.record.rankings for row in table_store.rejects(ref).to_pylist()]
    assert any(row["detail"].rpartition(" with ")[2] in kept for row in told)


def test_kept_samples_are_reported_explained_and_counted(pool: Pool):
    put(pool, "photo", range(900, 930))
    second = pool.refresh()
    kept = chosen(second, origin="kept")
    page = table_store.file(build_report(second.record).report, "page.html").decode()
    assert "kept from an earlier version" in page
    told = explain(second.record, kept[0]["key"])
    assert told.verdict.startswith("kept:")
    assert told.paid_usd == kept[0]["cost_usd"]
    assert sum(row["kept"] for row in Summary(second.record).plan) == len(kept)
    assert Summary(second.record).money.paid == pytest.approx(sum(row["cost_usd"] for row in second.rows.values()))


def test_while_selected_chooses_as_though_there_were_no_past(pool: Pool, tmp_path):
    put(pool, "photo", range(900, 940))
    asked = pool.answers()
    second = pool.refresh(history=HistoryConfig(keep="while_selected"))
    shutil.rmtree(pool.config.store)
    alone = pool.refresh()
    assert second.rows == alone.rows
    assert asked < pool.answers() <= asked + second.paid
    assert {row["origin"] for row in second.rows.values()} == {"reference", "selected"}


def test_never_is_a_new_batch_every_time_and_the_reference_set_stays(pool: Pool):
    first = pool.last
    second = pool.refresh(history=HistoryConfig(keep="never"))
    put(pool, "photo", range(900, 905))
    third = pool.refresh()
    batches = [{row["sample_id"] for row in chosen(run)} for run in (first, second, third)]
    assert all(batches)
    assert not batches[0] & batches[1]
    assert not (batches[0] | batches[1]) & batches[2]
    assert {row["sample_id"] for row in chosen(first, origin="reference")} <= second.rows.keys()
    assert (second.version, third.version) == (2, 3)
    again = pool.refresh()
    assert (again.paid, again.version) == (0, 3)


def test_other_settings_build_on_the_last_version_as_another_pool_does(pool: Pool):
    first = pool.last
    second = pool.refresh(selection=SelectionConfig(strategy="random"))
    assert second.rows.keys() == first.rows.keys()
    assert second.paid == 0
    assert versions.manifest(second.record.dataset)["base"] == 1


def test_another_generator_pays_for_what_is_kept_and_the_plan_says_so(pool: Pool):
    first = pool.last
    put(pool, "photo", range(900, 930))
    settings = {**pool.config.generator.model_dump(), "temperature": 0.9}
    second = pool.refresh(generator=GeneratorConfig.model_validate(settings))
    price = sum(row["price_usd"] or 0.0 for row in second.plan.values())
    kept = chosen(second, origin="kept")
    assert second.paid == len(second.rows)
    assert price == pytest.approx(sum(row["cost_usd"] for row in [*kept, *chosen(second)]), rel=0.2)
    free = sum(row["price_usd"] or 0.0 for row in first.plan.values())
    assert price > 0.8 * free


def test_a_pool_that_vanished_is_not_published_and_buys_nothing(pool: Pool):
    first, asked = pool.last, pool.setting.requests()
    away = pool.images.rename(pool.images.with_name("away"))
    for file in sorted(away.rglob("*.jpg"))[:15]:
        (pool.images / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, pool.images / file.parent.name)
    with pytest.raises(SupplyError, match=r"since version 1 .*15 usable images where .*--accept-shrink"):
        pool.refresh()
    assert versions.latest(pool.config.store, "demo").version == 1
    assert pool.setting.requests() == asked
    small = pool.refresh(source=pool.config.source.model_copy(update={"may_shrink": 1.0}))
    assert small.version == 2
    shutil.rmtree(pool.images)
    away.rename(pool.images)
    back = pool.refresh(source=pool.config.source.model_copy(update={"may_shrink": 0.2}))
    assert first.rows.keys() <= back.rows.keys()
    assert back.version == 3


def test_a_budget_that_was_lowered_says_what_is_over_and_comes_down_by_a_rebase(pool: Pool):
    first = pool.last
    larger = pool.refresh(budget=BudgetConfig(share=0.25))
    lower = pool.refresh(budget=BudgetConfig(share=0.15))
    assert lower.rows.keys() == larger.rows.keys()
    over = len(larger.rows) - len(first.rows)
    assert Summary(lower.record).over_budget.startswith(f"{over} records are over the budget of {len(first.rows)}")
    assert "presel run --rebase" in plan_words(Summary(lower.record))
    back = pool.refresh(history=HistoryConfig(rebase=1))
    assert back.rows == first.rows
    assert (back.paid, Summary(back.record).over_budget) == (0, "")
    again = pool.refresh(history=HistoryConfig())
    assert (again.version, again.paid) == (back.version, 0)


def test_without_a_smaller_version_a_rebase_on_none_chooses_anew_and_buys_nothing(pool: Pool):
    smaller = pool.refresh(budget=BudgetConfig(share=0.1), history=HistoryConfig(rebase=0))
    assert len(smaller.rows) == int(0.1 * smaller.record.samples.rows)
    assert smaller.paid == 0
    with pytest.raises(NotFound, match="no version 9"):
        pool.refresh(history=HistoryConfig(rebase=9))


def test_while_budget_lets_the_last_picked_go_and_takes_them_back(pool: Pool):
    first = pool.last
    smaller = pool.refresh(budget=BudgetConfig(share=0.1), history=HistoryConfig(keep="while_budget"))
    assert len(smaller.rows) == int(0.1 * smaller.record.samples.rows)
    assert smaller.rows.keys() < first.rows.keys()
    assert Summary(smaller.record).over_budget == ""
    for ref in first.record.selection:
        order = {row["sample_id"]: row["order"] for row in table_store.read(ref).to_pylist() if row["picked"]}
        stayed = [place for name, place in order.items() if name in smaller.rows]
        left = [place for name, place in order.items() if name not in smaller.rows]
        assert not stayed or not left or min(left) > max(stayed)
    larger = pool.refresh(budget=BudgetConfig(share=0.15))
    assert larger.rows.keys() == first.rows.keys()
    assert larger.paid == 0


def test_a_pool_too_small_for_what_is_kept_keeps_it_all_and_chooses_nothing(pool: Pool):
    first = pool.last
    pool.config = pool.config.model_copy(update={"source": pool.config.source.model_copy(update={"may_shrink": 1.0})})
    wanted = {row["key"] for row in first.rows.values()}
    for file in sorted(pool.images.rglob("*")):
        if file.is_file() and file.relative_to(pool.images).as_posix() not in wanted and file.stat().st_size % 3 < 2:
            file.unlink()
    second = pool.refresh()
    assert sum(row["quota"] for row in second.plan.values()) == 0
    assert second.rows.keys() >= first.rows.keys()
    assert len(second.rows) > int(0.15 * second.record.samples.rows)


def test_the_paper_has_no_past():
    given = {"mode": "paper", "source": {"uri": "pool"}, "store": "store", "generator": {"max_cost": 1}}
    assert RefreshConfig.model_validate(given).history.keep == "while_selected"
    with pytest.raises(ValidationError, match=r"history\.keep"):
        RefreshConfig.model_validate({**given, "history": {"keep": "always"}})
