"""When weights are estimated anew, and what they rest on meanwhile."""

from __future__ import annotations

import shutil

import pytest

from presel.config import ReestimateConfig, ReferenceModelConfig, WeightsConfig
from presel.runs import run_record
from presel.runs.housekeeping import gc
from presel.runs.summary import Summary
from presel.stages.basis import choose_basis
from presel.tables import table_store
from tests.refresh.conftest import Pool, Refreshed
from tests.refresh.test_changed_pools import chosen, put

DAY = 86_400.0


def patient(growth: float = 1.0, days: float | None = None) -> WeightsConfig:
    return WeightsConfig(reestimate=ReestimateConfig(growth=growth, days=days))


def weights(run: Refreshed) -> dict[str, float]:
    return {row["task"]: row["weight"] for row in Summary(run.record).plan}


def scores(run: Refreshed) -> dict[str, float]:
    return {row["task"]: row["irs"] for row in Summary(run.record).plan}


def estimated(run: Refreshed) -> list[str]:
    return [ref.key for ref in (run.record.model, *run.record.relevance)]


def test_scores_stay_while_the_reference_set_drifts_less_than_it_may(pool: Pool):
    """And the weights but for the size prior, which follows a task that has grown."""
    first = pool.last
    put(pool, "photo", range(900, 960))
    second = pool.refresh(weights=patient())
    assert estimated(second) == estimated(first)
    assert scores(second) == scores(first)
    before, after = weights(first), weights(second)
    assert [task for task in after if after[task] > before[task]] == ["photo"]
    assert second.record.basis == first.record.reference_instructions
    assert second.version == 2
    assert chosen(second, "photo", origin="reference") != chosen(first, "photo", origin="reference")
    assert second.diff["weights"]["moved"] == pytest.approx(after["photo"] - before["photo"])


def test_drift_adds_up_over_refreshes_until_it_is_too_much(pool: Pool):
    put(pool, "photo", range(900, 920))
    drift = 0.06
    second = pool.refresh(weights=patient(drift))
    assert second.record.basis
    put(pool, "photo", range(920, 980))
    third = pool.refresh()
    assert not third.record.basis
    assert estimated(third) != estimated(second)


def test_by_default_any_change_of_the_reference_set_is_enough(pool: Pool):
    first = pool.last
    put(pool, "photo", range(900, 960))
    second = pool.refresh()
    assert not second.record.basis
    assert estimated(second) != estimated(first)


@pytest.mark.parametrize("change", ["task", "model"])
def test_another_task_or_another_model_is_estimated_anew_however_patient(pool: Pool, change: str):
    if change == "task":
        put(pool, "photo", range(900, 930), folder="holiday")
    else:
        put(pool, "photo", range(900, 930))
        pool.config = pool.config.model_copy(
            update={"reference_model": ReferenceModelConfig(model="builtin", fit="none", loss_floor=0.2)}
        )
    assert not pool.refresh(weights=patient(10.0)).record.basis


def test_after_the_interval_any_drift_is_enough_and_without_drift_nothing_happens(pool: Pool):
    put(pool, "photo", range(900, 960))
    second = pool.refresh(weights=patient(days=7)).record
    made = table_store.finished(second.model)
    instructed = list(second.reference_instructions)
    assert choose_basis(instructed, pool.config, now=made + 6 * DAY).earlier
    late = choose_basis(instructed, pool.config, now=made + 8 * DAY)
    assert late.instructions == second.reference_instructions
    assert not late.earlier
    run_record.save(second.model_copy(update={"basis": ()}))
    assert not choose_basis(instructed, pool.config, now=made + 800 * DAY).earlier


def test_an_unchanged_pool_publishes_nothing_while_weights_stay(pool: Pool):
    put(pool, "photo", range(900, 960))
    second = pool.refresh(weights=patient())
    third = pool.refresh()
    assert third.version == second.version
    assert third.paid == 0
    assert [ref.key for ref in third.record.tables()] == [ref.key for ref in second.record.tables()]


def test_weights_estimated_anew_on_an_unchanged_pool_build_on_what_was_published(pool: Pool):
    put(pool, "photo", range(900, 960))
    second = pool.refresh(weights=patient())
    third = pool.refresh(weights=patient(0.0))
    assert table_store.facts(third.record.history)["base"] == second.version
    assert {row["sample_id"] for row in chosen(second)} <= third.rows.keys()
    assert pool.refresh().version == third.version


def test_the_collector_leaves_what_weights_rest_on_and_without_it_they_are_estimated_anew(pool: Pool):
    put(pool, "photo", range(900, 960))
    second = pool.refresh(weights=patient()).record
    unneeded = {found.path for found in gc.look(pool.config.store)}
    assert not unneeded & {part.path for ref in second.basis for part in ref.parts}
    photo = next(ref for ref in second.basis if ref.label == "photo")
    shutil.rmtree(f"{pool.config.store}/{photo.folder}")
    assert not pool.refresh().record.basis
