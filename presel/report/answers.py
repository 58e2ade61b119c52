"""All instructions as a page lists them, and what shows that an annotator repeats itself: lengths, and how answers begin."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST = 40_000
"""Instructions that are listed: the first by sample id, which is a uniform sample of more."""
BINS = 16
BEGINNINGS = 4
COLUMNS = ("sample_id", "task", "key", "origin", "model", "turns", "cost_usd")
"""Of a version's records."""


@dataclass(frozen=True)
class TaskAnswers:
    """How the responses of a task look together. Lengths are in words."""

    task: str
    records: int
    turns: float
    """Mean number of turns."""
    low: int
    median: int
    high: int
    """5 %, half and 95 % of the responses are no longer."""
    longest: int
    bars: tuple[float, ...]
    """Share of the responses in each of BINS lengths of equal width up to `high`, of the largest one, 0 to 100."""
    beginnings: tuple[tuple[str, float], ...]
    """The most frequent first two words of a response, and their share of the responses."""
    distinct: float
    """Distinct responses as a share of all."""


@dataclass(frozen=True)
class Answers:
    """Instructions of a version."""

    rows: Sequence[Mapping[str, Any]] = ()
    """COLUMNS of at most MOST records."""
    of: int = 0
    tasks: Sequence[TaskAnswers] = field(default_factory=tuple)


def answers(records: Iterable[Mapping[str, Any]]) -> Answers:
    """`records`: COLUMNS, ordered by sample id; gone through once."""
    kept: list[Mapping[str, Any]] = []
    counts: Counter[str] = Counter()
    responses: dict[str, _Responses] = defaultdict(_Responses)
    for row in records:
        if len(kept) < MOST:
            kept.append(row)
        counts[row["task"]] += 1
        for turn in row["turns"]:
            responses[row["task"]].add(turn["response"])
    tasks = [responses[task].summed(task, counts[task]) for task in sorted(counts)]
    return Answers(kept, counts.total(), tasks)


class _Responses:
    """Those of one task: lengths, beginnings and hashes, never the words."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.beginnings: Counter[str] = Counter()
        self.seen: set[int] = set()

    def add(self, response: str) -> None:
        words = response.split()
        self.lengths.append(len(words))
        self.beginnings[" ".join(words[:2]).lower()[:40]] += 1
        self.seen.add(hash(response))

    def summed(self, task: str, records: int) -> TaskAnswers:
        lengths = np.array(self.lengths or [0])
        low, median, high = (int(np.quantile(lengths, share, method="lower")) for share in (0.05, 0.5, 0.95))
        counted, _ = np.histogram(np.minimum(lengths, high), bins=BINS, range=(0, max(1, high)))
        count = max(1, len(self.lengths))
        return TaskAnswers(
            task=task,
            records=records,
            turns=count / max(1, records),
            low=low,
            median=median,
            high=high,
            longest=int(lengths.max()),
            bars=tuple((100 * counted / max(1, counted.max())).round(1).tolist()),
            beginnings=tuple((words, number / count) for words, number in self._most_frequent()),
            distinct=len(self.seen) / count,
        )

    def _most_frequent(self) -> list[tuple[str, int]]:
        return sorted(self.beginnings.items(), key=lambda item: (-item[1], item[0]))[:BEGINNINGS]


def refused_answers(rejects: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Answers that could not be used, as rows of the same list."""
    for row in rejects:
        if row["stage"].startswith("instruct"):
            why = {"reason": row["reason"].replace("_", " "), "detail": row["detail"]}
            yield {"sample_id": row["id"], "task": row["task"], "key": row["key"], **why}
