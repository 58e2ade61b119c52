"""`presel plan` and `presel run`: the two flows, in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from presel.cli import budget_picture, free_plan
from presel.cli.console import screen, show, table
from presel.cli.facts import facts, pending, plan_facts, show_facts, unpaid
from presel.cli.options import DEFAULT_CONFIG, AcceptShrink, AsJson, ConfigPath, Overrides, Rebase
from presel.cli.prefect_run import Finished, run_flow
from presel.concurrency.progress import Progress, listening
from presel.config import RefreshConfig
from presel.config.file import load
from presel.errors import BudgetExceeded
from presel.runs import benchmark, budget_curve, summary
from presel.runs.figures import dollars
from presel.runs.summary import Summary
from presel.sources.catalog import since_before
from presel.storage import open_store

COLUMNS = {
    "task": "task",
    "images": "images",
    "usable": "usable",
    "reference": "reference",
    "kept": "kept",
    "irs": "IRS",
    "weight": "weight",
    "quota": "quota",
    "picked": "picked",
    "rejected": "rejected",
    "passed_over": "passed over",
}


def plan(
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    reference: Annotated[
        float, typer.Option(help="US dollars that may be spent now, on the reference set; 0 uses paid answers only.")
    ] = 0.0,
    budget: Annotated[
        str | None, typer.Option(help="Show how budgets from one share to another are shared out: 5%..50%.")
    ] = None,
    rebase: Rebase = None,
    accept_shrink: AcceptShrink = False,
    as_json: AsJson = False,
) -> None:
    """Everything up to the budget decision: the plan table, and the price of the rest with its interval."""
    settings = _for_once(load(config, overrides), rebase, accept_shrink)
    budgets = budget_picture.shares(budget) if budget else []
    free_plan.check_generator(settings.generator, may_spend=reference > 0)
    heard: list[Progress] = []
    try:
        with listening(heard.append):
            finished = run_flow("plan", _allowed(settings, reference))
    except BudgetExceeded as error:
        if not reference and any("at_most_usd" in event.figures for event in heard):
            free_plan.show_free(settings, as_json)
            return
        raise _not_allowed(error, config, reference, heard) from error
    record, of_run = finished.record, Summary(finished.record)
    rows, money, pool = of_run.task_rows(), of_run.money, since_before(record.catalog, record.samples)

    drawn = budget_picture.points(record, rows, budgets) if budgets else []

    def words() -> None:
        from presel.report import ui_pages

        columns = {name: heading for name, heading in COLUMNS.items() if name not in ("picked", "passed_over")}
        priced = [
            {**row, "price": dollars(row["price_usd"] or 0.0), "copies": str(of_run.guards.get(row["task"], "")) or "-"}
            for row in rows
        ]
        table(priced, {**columns, "copies": "near-copies", "shortfall": "shortfall", "price": "price"}, total=True)
        screen.print()
        if drawn:
            budget_picture.draw(drawn, rows)
        else:
            screen.print("Other budgets, and the share of the pool with an instructed image close by:")
            shown = ("budget", "records", "price", "coverage", "on benchmarks")
            table(ui_pages.budget_rows(of_run), {name: name for name in shown})
        screen.print(benchmark.words(settings.budget.share), soft_wrap=True)
        screen.print()
        show_facts(plan_facts(finished, of_run, config))

    show(
        {
            "plan": rows,
            "pool": pool,
            "over_budget": of_run.over_budget,
            "money": money._asdict(),
            "budgets": [point._asdict() for point in drawn] or budget_curve.read(record.plan),
            "benchmarks": benchmark.pools(),
        },
        as_json,
        words,
    )


def run(
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    rebase: Rebase = None,
    accept_shrink: AcceptShrink = False,
    as_json: AsJson = False,
) -> None:
    """One refresh: choose, instruct, publish. What is done or paid for already is reused."""
    settings = _for_once(load(config, overrides), rebase, accept_shrink)
    free_plan.check_generator(settings.generator, may_spend=True)
    finished = run_flow("refresh", settings)
    show(run_result(finished), as_json, lambda: show_run(finished, config))


def _for_once(settings: RefreshConfig, rebase: int | None, accept_shrink: bool) -> RefreshConfig:
    """The settings with what is meant for this run alone."""
    update: dict[str, object] = {}
    if rebase is not None:
        update["history"] = settings.history.model_copy(update={"rebase": rebase})
    if accept_shrink:
        update["source"] = settings.source.model_copy(update={"may_shrink": 1.0})
    return settings.model_copy(update=update)


def run_result(finished: Finished) -> dict[str, object]:
    """What a refresh came to, for scripts."""
    record, of_run = finished.record, Summary(finished.record)
    return {
        "tasks": of_run.task_rows(),
        "pool": since_before(record.catalog, record.samples),
        "money": {**of_run.money._asdict(), "this_run": finished.spent_usd},
        "over_budget": of_run.over_budget,
        "unpaid": unpaid(of_run),
        "pending": pending(of_run),
        "seconds": round(finished.seconds, 1),
        "dataset": record.dataset,
        "report": summary.report_address(record),
    }


def show_run(finished: Finished, config: Path = DEFAULT_CONFIG, page: Path | None = None) -> None:
    """What a refresh came to, for people. `page`: a copy of the report that is easier to open."""
    of_run = Summary(finished.record)
    table(of_run.task_rows(), COLUMNS, total=True)
    screen.print()
    show_facts(facts(finished, of_run, config, page))


def _not_allowed(error: BudgetExceeded, config: Path, allowed: float, heard: Sequence[Progress]) -> BudgetExceeded:
    """The reference set is not paid for and may not be: what it would take."""
    found = next((event for event in heard if "at_most_usd" in event.figures), None)
    if found is None:
        return error
    cents = math.ceil(100 * found.figures["at_most_usd"]) / 100
    return BudgetExceeded(
        f"the plan needs instructions for a reference set of {found.total:,} images, which are not all paid for: {found.note}",
        where=str(config),
        expected=f"at most {dollars(allowed)} to spend",
        got=error.what,
        fix=f"allow it with `presel plan --reference {cents:.2f}`",
    )


def _allowed(settings: RefreshConfig, reference: float) -> RefreshConfig:
    from presel.instruct.money.purse import spending

    before = spending(open_store(settings.store))
    # What a killed run had reserved counts until it is settled, which the first request of this one does.
    allowed = before["spent_usd"] + before["reserved_usd"] + reference
    cap = settings.generator.max_cost
    capped = allowed if cap == "unlimited" else min(cap, allowed)
    generator = settings.generator.model_copy(update={"max_cost": capped, "on_cap": "stop"})
    execution = settings.execution.model_copy(update={"approve": False})  # whoever names a sum has approved it
    return settings.model_copy(update={"generator": generator, "execution": execution})
