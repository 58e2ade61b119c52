"""`presel plan` that may spend nothing: the pool by task, and what instructing it would cost at most."""

from __future__ import annotations

import math
import os
from collections import Counter
from typing import Any

from presel.cli.console import screen, show, table
from presel.config import GeneratorConfig, RefreshConfig
from presel.dataset.records import rejected_rows
from presel.errors import NotFound
from presel.runs import run_record
from presel.runs.figures import dollars
from presel.runs.refused import refused
from presel.runs.run_record import PoolRecord
from presel.selection.reference import reference_size
from presel.sources.catalog import in_words, since_before

_COLUMNS = {"task": "task", "usable": "usable", "rejected": "rejected", "reference": "reference"}


def check_generator(generator: GeneratorConfig, *, may_spend: bool) -> None:
    """Before anything runs: a price that nobody knows, no address, no key. Raises ConfigError.

    Where nothing may be spent and a request would cost something, none is sent, so that any word will do for the key.
    """
    from presel.instruct.endpoint.client import resolved_base_url, secret
    from presel.instruct.money.prices import price_of

    if generator.only_people:
        return
    free = price_of(generator).of(1, 1) == 0
    resolved_base_url(generator.base_url)
    if not may_spend and not free and not os.environ.get(generator.api_key_env, "").strip():
        os.environ[generator.api_key_env] = "nothing-is-sent"
    secret(generator)


def show_free(settings: RefreshConfig, as_json: bool) -> None:
    """What the run found before it came to the reference set, which it may not buy. Raises NotFound where that is gone."""
    found = run_record.pool(settings.store, settings.dataset.name)
    if found is None:
        raise NotFound("what the run found is not there any more", where=settings.store, fix="run again")
    rows, pool = _rows(found, settings), since_before(found.catalog, found.samples)
    prices = _prices(rows, settings)
    cents = math.ceil(100 * prices["reference"]) / 100

    def words() -> None:
        priced = [{**row, "price": dollars(row["reference_usd"])} for row in rows]
        table(priced, {**_COLUMNS, "price": "at most"}, total=True)
        screen.print(in_words(pool), soft_wrap=True)
        reference, budget, everything = (dollars(prices[name]) for name in ("reference", "budget", "everything"))
        screen.print(
            f"The reference set costs at most {reference}, less what is paid for already; the budget of "
            f"{settings.budget.share:.0%} with it {budget}, every usable image {everything}.",
            soft_wrap=True,
        )
        screen.print(
            "Weights and quotas, and prices from what answers really cost, come with the reference set: "
            f"`presel plan --reference {cents:.2f}`",
            soft_wrap=True,
        )

    show({"plan": [], "tasks": rows, "pool": pool, "at_most_usd": prices}, as_json, words)


def _rows(found: PoolRecord, settings: RefreshConfig) -> list[dict[str, Any]]:
    """One a task, with the upper price of its reference set."""
    from presel.instruct.money.bounds import one_each

    usable = {part.label: part.rows for part in found.samples.parts}
    rejected = Counter(row["task"] for row in rejected_rows(refused(found)))
    reference = {task: reference_size(count, settings.reference.share) for task, count in usable.items()}
    return [
        {
            "task": task,
            "usable": usable.get(task, 0),
            "rejected": rejected[task],
            "reference": reference.get(task, 0),
            "reference_usd": one_each({task: reference.get(task, 0)}, settings.generator),
        }
        for task in sorted(usable.keys() | rejected.keys())
    ]


def _prices(rows: list[dict[str, Any]], settings: RefreshConfig) -> dict[str, float]:
    """Upper prices in US dollars, as they are announced before anything is bought."""
    from presel.instruct.money.bounds import at_most

    usable = {row["task"]: row["usable"] for row in rows}
    budget = {task: math.ceil(settings.budget.share * count) for task, count in usable.items()}
    reference = {row["task"]: row["reference"] for row in rows}
    named = {"reference": reference, "budget": budget, "everything": usable}
    return {name: at_most(images, settings.generator) for name, images in named.items()}
