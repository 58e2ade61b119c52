"""Why a task weighs what it weighs: from its weight down to the questions and responses that decided it.

A mean IRS is a ratio of losses that no person has seen; what makes one believe it, or not, are the samples at its ends. So the
explanation ends in words that can be read: the reference samples whose question helped most and least.
"""

from __future__ import annotations

from math import fsum
from typing import Any

from pydantic import BaseModel

from presel.errors import NotFound
from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.schemas import rows_of

ENDS = 5
"""Samples shown at either end."""


class ScoredSample(BaseModel):
    """A reference sample with its losses in nats per response token."""

    sample_id: str
    key: str
    irs: float
    loss_with_question: float
    loss_without_question: float
    response_tokens: int | None
    turns: list[dict[str, str]]


class TaskExplanation(BaseModel):
    """Everything behind one task's weight."""

    task: str
    words: str
    weight: float
    equal_share: float
    """1 / the number of weighed tasks: what the weight would be if IRS said nothing."""
    rank: int
    """1: the heaviest task."""
    tasks: int
    irs: float | None
    irs_low: float | None
    irs_high: float | None
    pool_irs: float | None
    """Mean of the tasks' IRS."""
    scored: int
    reference: int
    loss_with_question: float | None
    loss_without_question: float | None
    rejected: dict[str, int]
    """Reference samples that could not be scored, by reason."""
    verdict: str
    """Is the reference set large enough?"""
    note: str = ""
    """That the score is not the paper's, where it is not."""
    most_relevant: list[ScoredSample]
    """Lowest IRS first: here the question helps most."""
    least_relevant: list[ScoredSample]
    """Highest IRS first."""


def explain_task(record: RunRecord, task: str) -> TaskExplanation:
    """The story of one task's weight. Raises NotFound when the plan has no such task."""
    plan = [row for row in rows_of(table_store.read(record.plan)) if row["usable"]]
    row = next((row for row in plan if row["task"] == task), None)
    if row is None:
        raise NotFound(
            f"the plan has no task '{task}'",
            where=record.config.dataset.name,
            fix=f"one of {', '.join(sorted(r['task'] for r in plan)[:20])}",
        )
    samples = _scored(record, task)
    share = min(ENDS, len(samples) // 2) if len(samples) > 1 else len(samples)
    most = samples[:share]
    known = [r["irs"] for r in plan if r["irs"] is not None]
    found = TaskExplanation(
        task=task,
        words="",
        weight=row["weight"],
        equal_share=1 / len(plan),
        rank=1 + sum(other["weight"] > row["weight"] for other in plan),
        tasks=len(plan),
        **{name: row[name] for name in ("irs", "irs_low", "irs_high", "scored", "reference")},
        pool_irs=fsum(known) / len(known) if known else None,
        loss_with_question=_mean([sample.loss_with_question for sample in samples]),
        loss_without_question=_mean([sample.loss_without_question for sample in samples]),
        rejected=_rejected(record, task),
        verdict=table_store.facts(record.plan).get("verdict", ""),
        note=record.config.reference_model.note,
        most_relevant=most,
        least_relevant=samples[::-1][: min(ENDS, len(samples) - len(most))],
    )
    return found.model_copy(update={"words": in_words(found)})


def in_words(found: TaskExplanation) -> str:
    """Two or three sentences: the weight against an equal share, and what it comes from."""
    weight = (
        f"{found.task} weighs {found.weight:.1%}, {found.weight / found.equal_share:.2f} times an equal share: "
        f"number {found.rank} of {found.tasks} tasks."
    )
    if found.irs is None or found.pool_irs is None:
        return f"{weight} It was not scored: its weight was imported, or is the mean of the others."
    if not found.scored:
        return f"{weight} None of its reference samples was scored, so it counts with the mean IRS, {found.irs:.2f}."
    interval = "" if found.irs_low is None else f" (95 %: {found.irs_low:.2f} to {found.irs_high:.2f})"
    side = "below" if found.irs < found.pool_irs else "above"
    irs = f"Its IRS is {found.irs:.2f}{interval}, {side} the tasks' mean of {found.pool_irs:.2f}"
    if found.loss_with_question is None or found.loss_without_question is None:
        return f"{weight} {irs}; it was imported."
    if found.note:
        return f"{weight} {irs}, over {found.scored} samples. {found.note}"
    losses = f"{found.loss_without_question:.2f} to {found.loss_with_question:.2f}"
    return f"{weight} {irs}: the question takes the loss of a response token from {losses} nats, over {found.scored} samples."


def _scored(record: RunRecord, task: str) -> list[ScoredSample]:
    """The task's scored reference samples, lowest IRS first."""
    rows = [row for ref in record.relevance if ref.label == task for row in rows_of(table_store.read(ref))]
    turns = {
        row["sample_id"]: row["turns"]
        for ref in record.reference_instructions
        if ref.label == task
        for row in rows_of(table_store.read(ref, ["sample_id", "turns"]))
    }
    names = ScoredSample.model_fields.keys() - {"turns"}
    samples = [
        ScoredSample(**{name: row[name] for name in names}, turns=turns[row["sample_id"]])
        for row in rows
        if row["sample_id"] in turns
    ]
    return sorted(samples, key=lambda sample: (sample.irs, sample.sample_id))


def _rejected(record: RunRecord, task: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for ref in record.relevance:
        for row in rows_of(table_store.rejects(ref)) if ref.label == task else []:
            counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return dict(sorted(counts.items()))


def _mean(values: list[float]) -> float | None:
    return fsum(values) / len(values) if values else None


def lines(found: TaskExplanation) -> list[str]:
    """The explanation as a terminal shows it."""
    said = [found.words, f"Reference set: {found.verdict}"]
    said += [f"  {count:6} not scored: {reason}" for reason, count in found.rejected.items()]
    for title, samples in (
        ("Most relevant question", found.most_relevant),
        ("Least relevant question", found.least_relevant),
    ):
        said += [f"{title} first:" for _ in samples[:1]]
        for sample in samples:
            said += _sample_lines(sample)
    return said


def _sample_lines(sample: ScoredSample) -> list[str]:
    with_, without = sample.loss_with_question, sample.loss_without_question
    return [
        f"  IRS {sample.irs:.2f} = {with_:.3f} / {without:.3f} nats  {sample.key}",
        *(line for turn in sample.turns for line in _turn_lines(turn)),
    ]


def _turn_lines(turn: dict[str, Any]) -> list[str]:
    return [f"    Q: {turn['question']}", f"    A: {turn['response']}"]
