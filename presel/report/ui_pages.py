"""What the Prefect UI shows of a run: Markdown with inlined pictures, rows for its tables, and sentences.

Each stays below 200 kB: artifacts live in the server's database, and its Artifacts page loads every latest one whole. A table
artifact does not wrap: at 1440 pixels it has room for 680 beside the side bars, and what does not fit is cut off without a
hint. So what a person must see to decide is Markdown, whose cells wrap.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from presel.config import RefreshConfig
from presel.dataset import changes as changing
from presel.dataset import history, versions
from presel.errors import InputError
from presel.instruct.money.bounds import at_most, one_each
from presel.instruct.money.purse import spending
from presel.report.card import plain
from presel.report.pictures import weights_png
from presel.report.pieces import picture
from presel.report.tuned import curve_markdown
from presel.runs import benchmark, budget_curve
from presel.runs.figures import TaskLine, dollars
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary, report_address
from presel.sources.catalog import in_words, since_before
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, TableRef

_REJECT_ROWS = 500
_APPROVAL_ROWS = 25
_EXAMPLES = 3
_ONLY_IF_ANY = ("kept", "shortfall")


# --- before money is spent ---------------------------------------------------------------------------------------------------


def plan_rows(run: Summary) -> list[dict[str, Any]]:
    """The plan as rows of short words and numbers, one a task, and their sums."""
    shown = [name for name in _ONLY_IF_ANY if any(row[name] for row in run.plan)]
    guards = run.guards
    guarded = any(guard.threshold is not None for guard in guards.values())
    rows = [
        _plan_row(named(row["task"]), row, shown, str(guards.get(row["task"], "")) if guarded else None)
        for row in run.plan
    ]
    counts = ("usable", "reference", "quota", *_ONLY_IF_ANY)
    prices = ("price_usd", "price_low_usd", "price_high_usd")
    sums = {name: sum(row[name] for row in run.plan) for name in counts}
    sums |= {name: sum(row[name] or 0.0 for row in run.plan) for name in prices}
    copies = f"{sum(guard.left_out for guard in guards.values()):,}" if guarded else None
    return [*rows, _plan_row("all", {**sums, "irs": None, "weight": None}, shown, copies)]


def plan_markdown(run: Summary) -> str:
    """All there is to decide by, on one page: the plan, what changed in the pool, what weighs how much, and other budgets."""
    since = since_before(run.record.catalog, run.record.samples)
    return (
        f"## The plan\n\n{plan_words(run)}\n\n{_table(plan_rows(run))}\n"
        f"## The pool\n\n{in_words(since)}\n\n"
        f"{weights_markdown(run)}\n## Other budgets\n\n{_table(budget_rows(run))}\n"
        f"{curve_markdown(run.record.model, 'Loss while fitting')}"
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the same columns as Markdown."""
    if not rows:
        return "None.\n"
    lines = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *([plain(value) if value != "" else "" for value in row.values()] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plan_row(task: str, row: dict[str, Any], shown: Iterable[str], copies: str | None) -> dict[str, Any]:
    """`copies`: near-duplicates that were left out; None where no task has a guard."""
    weight = row["weight"]
    return {
        "task": task,
        "usable": row["usable"],
        "reference": row["reference"],
        "IRS": _irs(row),
        "weight": "" if weight is None else f"{weight:.1%}",
        "quota": row["quota"],
        **({} if copies is None else {"near-copies": copies}),
        **{name: row[name] for name in shown},
        "price": dollars(row["price_usd"]) if row["quota"] else "–",
        "between": f"{dollars(row['price_low_usd'])}–{dollars(row['price_high_usd'])}" if row["quota"] else "–",
    }


def _irs(row: dict[str, Any]) -> str:
    """The score with its interval; one reference sample has a score and no interval."""
    if row["irs"] is None:
        return ""
    interval = row["irs_low"] is not None and row["irs_high"] is not None and row["reference"] > 1
    return f"{row['irs']:.3f}" + (f" ({row['irs_low']:.2f}–{row['irs_high']:.2f})" if interval else "")


def plan_words(run: Summary) -> str:
    """Some sentences a person can sign: how many images for how much, against all of them and against the cap."""
    quota, reference, usable, shortfall = (
        sum(row[name] for row in run.plan) for name in ("quota", "reference", "usable", "shortfall")
    )
    price, low, high = (
        sum(row[name] or 0.0 for row in run.plan) for name in ("price_usd", "price_low_usd", "price_high_usd")
    )
    limit = at_most({row["task"]: row["quota"] for row in run.plan}, run.record.config.generator)
    words = (
        f"{quota:,} images to instruct beside the {reference:,} of the reference set, of {usable:,} usable ones. "
        f"Expected price of the {quota:,}: {dollars(price)} ({dollars(low)}–{dollars(high)}), and no more than "
        f"{dollars(limit)} without asking again; "
        f"all usable images would cost about {dollars(run.money.everything)}. {_cap_words(run.record.config, high)}"
    )
    over = f" **{run.over_budget}**" if run.over_budget else ""
    return f"{words}{_weights_words(run.record)}{_seats_words(run.record, shortfall)}{over}"


def _seats_words(record: RunRecord, shortfall: int) -> str:
    """Seats that a task was too small for, and those of them that no other task could take either."""
    empty = int(table_store.facts(record.plan).get("unplaced", 0))
    handed_on, words = shortfall - empty, ""
    if handed_on > 0:
        words += f" {handed_on:,} of the seats went from tasks too small for them to others."
    return f"{words} Left empty, because no image is left to choose: {empty:,}." if empty else words


def _weights_words(record: RunRecord) -> str:
    """Since when the weights stand, if they are an earlier run's."""
    note = f" {record.config.reference_model.note}" if record.config.reference_model.verdict else ""
    if not record.basis:
        return note
    day = datetime.fromtimestamp(table_store.finished(record.model), UTC).date()
    return f" The weights are those of {day.isoformat()} (`weights.reestimate`).{note}"


def _cap_words(config: RefreshConfig, expected: float) -> str:
    """The money cap, and whether it may get in the way."""
    spent, cap = spending(open_store(config.store))["spent_usd"], config.generator.max_cost
    if cap == "unlimited":
        return f"The store has spent {dollars(spent)}; there is no cap."
    words = f"The store has spent {dollars(spent)} of its cap of {dollars(cap)}."
    return (
        words if expected <= cap - spent else f"{words} **The cap may end the run before all of them are instructed.**"
    )


def approval_markdown(run: Summary) -> str:
    """What the form behind *Resume* asks: the plan in words, and as a table that fits into it."""
    asked = sorted((row for row in run.plan if row["quota"]), key=lambda row: (-row["quota"], row["task"]))
    table = "".join(
        f"| {plain(named(row['task']))} | {row['quota']:,} of {row['usable']:,} | {dollars(row['price_usd'])} |\n"
        for row in asked[:_APPROVAL_ROWS]
    )
    more = f"\n{len(asked) - _APPROVAL_ROWS} more tasks: see the artifact.\n" if len(asked) > _APPROVAL_ROWS else ""
    key = f"{run.record.config.dataset.name}-plan"
    return (
        f"## Pay for this plan?\n\n{_lost_words(run.record.samples, run.record.config)}{plan_words(run)}\n\n"
        f"| task | images | price |\n|---|---|---|\n{table}{more}\n"
        f"All columns: the artifact `{key}` of this run. *Resume* (in the earlier UI *Submit*) pays and goes on. "
        "To pay nothing more, close this and cancel the run.\n"
    )


def reference_markdown(images: Mapping[str, int], limit: float, samples: TableRef, config: RefreshConfig) -> str:
    """What the form asks before the reference set is bought: `images` of it by task, and `limit`, their price at most, with
    what a model's verdict on them may cost."""
    generator, usable = config.generator, {part.label: part.rows for part in samples.parts}
    asked = sorted(images, key=lambda task: (-images[task], task))
    table = "".join(
        f"| {plain(named(task))} | {images[task]:,} of {usable[task]:,} | "
        f"{dollars(one_each({task: images[task]}, generator))} |\n"
        for task in asked[:_APPROVAL_ROWS]
    )
    more = f"\n{len(asked) - _APPROVAL_ROWS} more tasks.\n" if len(asked) > _APPROVAL_ROWS else ""
    return (
        f"## Pay for the reference set?\n\n{_lost_words(samples, config)}{sum(images.values()):,} images, drawn from every "
        f"task, tell what instructions are worth there. They cost at most {dollars(limit)}, less what is "
        f"paid for already. {_cap_words(config, limit)} The plan and the price of the selection come "
        f"after it.\n\n| task | images | at most |\n|---|---|---|\n{table}{more}\n"
        "*Resume* (in the earlier UI *Submit*) pays and goes on. To pay nothing, close this and cancel the run.\n"
    )


def _lost_words(samples: TableRef, config: RefreshConfig) -> str:
    """What the pool has lost since the last version, where that is more than it may."""
    lost = history.lost(samples, config)
    if lost is None or lost.share <= config.source.may_shrink:
        return ""
    words = lost.words[0].upper() + lost.words[1:]
    return f"**{words}.** Resume only if that is meant (`source.may_shrink`).\n\n"


def budget_rows(run: Summary) -> list[dict[str, Any]]:
    """What budgets of 5 to 50 % would cost and cover."""
    return [
        {
            "budget": f"{point['share']:.0%}",
            "records": point["records"],
            "price": dollars(point["price_usd"]),
            "coverage": f"{point['coverage']:.1%}",
            "on benchmarks": benchmark.reached(point["share"]),
        }
        for point in budget_curve.read(run.record.plan)
    ]


def weights_markdown(run: Summary) -> str:
    """What a question is worth in each task, as a picture and a sentence."""
    return (
        "## What a question is worth\n\n"
        f"{picture('weights', weights_png(run.lines), 'png')}\n\n"
        "Instruction relevance score (dot) with its 95 % interval, heaviest task first, and the weight it leads to. "
        f"A low score means that the question matters. {_doubt(run.lines)}\n"
    )


def _doubt(lines: Sequence[TaskLine]) -> str:
    """How far the reference set can tell the tasks apart: of the neighbouring pairs, those whose intervals are disjoint."""
    known = sorted(
        (line.irs, line.irs_low, line.irs_high)
        for line in lines
        if line.irs is not None and line.irs_low is not None and line.irs_high is not None
    )
    if len(known) < 2:
        return ""
    apart = sum(one[2] < other[1] for one, other in pairwise(known))
    return f"{apart} of {len(known) - 1} neighbouring pairs of tasks have intervals that do not overlap."


# --- after it was spent ------------------------------------------------------------------------------------------------------


def result_markdown(run: Summary, begun: datetime) -> str:
    """What came of it, in a page: the version and what it changed, money, where things lie, what was refused.

    `begun`: when the run began; a version that is older was found unchanged.
    """
    dataset = run.record.dataset
    if dataset is None:
        raise InputError("the run has published nothing", where="presel.report.ui_pages", fix="publish first")
    changes = json.loads(versions.file(dataset, "diff.json"))
    usable = sum(line.usable for line in run.lines)
    since = f"Since version {changes['before']}" if changes["before"] else "The first version"
    moved = changes["records"]
    counts = changing.in_words(moved)
    return (
        f"## {dataset.name}, version {dataset.version}\n\n"
        f"**{dataset.records:,} records** of {usable:,} usable images, instructed for **{dollars(run.money.paid)}**; "
        f"all of them would have cost about {dollars(run.money.everything)}. {_cap_words(run.record.config, 0.0)}\n\n"
        f"{_unchanged(dataset, begun)}{since}: {counts}. {run.over_budget}\n\n"
        f"- {_report_words(run.record)}\n- The dataset: `{dataset.uri}`\n\n{_refused(run)}"
    )


def _unchanged(dataset: DatasetRef, begun: datetime) -> str:
    made = datetime.fromisoformat(versions.manifest(dataset)["run"]["created"])
    if made >= begun.replace(microsecond=0):
        return ""
    return (
        f"**Nothing has changed: version {dataset.version} of {made:%Y-%m-%d %H:%M} UTC stands, nothing was published.** "
        "What it had brought: "
    )


def report_link(record: RunRecord) -> str | None:
    """An address of the report that a browser can open; None where only those who have the folder can."""
    if record.report is None:
        return None
    path, served = f"{record.report.folder}/page.html", record.config.execution.store_url
    return open_store(record.report.store).link(path, "text/html; charset=utf-8", served)


def _report_words(record: RunRecord) -> str:
    link, address = report_link(record), report_address(record)
    opened = (
        f"[The report]({link}): one page, with pictures" if link else "The report: `presel report --to report.html`"
    )
    return f"{opened}. It lies at `{address}`"


def _refused(run: Summary) -> str:
    """A row for each stage and reason, the most frequent first, with examples."""
    by_reason: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in run.rejects:
        by_reason.setdefault((row["stage"], row["reason"]), []).append(row)
    if not by_reason:
        return "## What was refused\n\nNothing.\n"
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    table = "".join(
        f"| {stage} | {plain(reason.replace('_', ' '))} | {len(rows):,} | {_examples(rows)} |\n"
        for (stage, reason), rows in ordered
    )
    return f"## What was refused\n\n| stage | reason | images | for example |\n|---|---|---|---|\n{table}"


def _examples(rows: Sequence[dict[str, Any]]) -> str:
    return "<br>".join(
        plain(row["key"][:80]) + (f": {plain(row['detail'][:100])}" if row["detail"] else "")
        for row in rows[:_EXAMPLES]
    )


def reject_rows(run: Summary) -> list[dict[str, Any]]:
    """Refused images and answers, at most 500, every reason among them."""
    rows = run.rejects
    seen: Counter[tuple[str, str]] = Counter()
    ranked = []
    for row in rows:
        kind = row["stage"], row["reason"]
        ranked.append((seen[kind], row))
        seen[kind] += 1
    kept = [row for _, row in sorted(ranked, key=lambda pair: pair[0])[:_REJECT_ROWS]]
    kept.sort(key=lambda row: (row["stage"], row["reason"], row["task"], row["key"]))
    return [
        {
            "stage": row["stage"],
            "reason": row["reason"].replace("_", " "),
            "task": named(row["task"]),
            "key": row["key"][:80],
            "detail": row["detail"][:100],
        }
        for row in kept
    ]


def reject_words(run: Summary) -> str:
    """How many for which reason, in a line."""
    counts = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in run.reject_counts().items())
    if not counts:
        return "Nothing was refused."
    some = f" The first {_REJECT_ROWS} are shown." if len(run.rejects) > _REJECT_ROWS else ""
    return f"{len(run.rejects):,} refused: {counts}.{some}"


def made_with_the_report(record: RunRecord, name: str) -> str:
    """`map.md`, where the picks lie in the pool, or `gallery.md`, some of each task."""
    if record.report is None:
        raise InputError("the run has no report yet", where="presel.report.ui_pages", fix="build the report first")
    return table_store.file(record.report, name).decode()


def named(task: str) -> str:
    """A task's name; what lies at the root of a source belongs to none."""
    return task if task.strip() else "(no task)"
