"""Where the time of a run went, from what its tables' manifests say: when each was finished, and how many seconds it took.

A table that was finished before the version before this one was published was not made for this one: it was found.
Several tasks of a stage, and stages, run at once: a second in which two tables were made counts half for the stage of each.
Seconds in which no table was made are Prefect's, or those of a pause: of an approval, or between a plan and its run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Any

from presel.concurrency.ahead import ahead, shared_pool
from presel.tables import table_store
from presel.tables.schemas import TableRef

STEPS = {
    "catalog": ("list the source", "objects"), "embeddings": ("embed", "images"), "samples": ("assemble", "samples"),
    "clusters": ("cluster", "samples"), "reference": ("draw the reference set", "draws"),
    "reference_instructions": ("instruct the reference set", "answers"), "model": ("fit the reference model", "steps"),
    "relevance": ("score relevance", "samples"), "guard": ("calibrate the guard", ""),
    "history": ("recall earlier versions", "samples"), "rankings": ("rank", "samples"), "plan": ("plan", "tasks"),
    "selection": ("select", "samples"), "instructions": ("instruct the picks", "answers"),
}  # fmt: skip
"""Tables of a run's record, in the order of the method: what making them is called, and what a row of them is."""
_SEEN = 0.02
PAUSE = 120.0
"""Seconds without any work that count as a pause."""
_READERS = 16


@dataclass(frozen=True)
class Made:
    """One table: UTC seconds in which it was made, its rows, and the peak of the process that made it, where it is known."""

    step: str
    start: float
    end: float
    rows: int
    peak_mb: int | None


@dataclass(frozen=True)
class Step:
    """One stage of the run."""

    name: str
    unit: str
    tables: int
    found: int
    """Tables that an earlier version had made."""
    rows: int
    wall: float
    """Seconds in which at least one of its tables was in the making."""
    work: float
    """Seconds of all its tables together."""
    made_rows: int
    peak_mb: int | None

    @property
    def rate(self) -> float | None:
        """Rows a second of wall time, of those that were made."""
        return self.made_rows / self.wall if self.wall > 0 and self.made_rows else None

    @property
    def rate_words(self) -> str:
        """With its unit; a dash where there is none."""
        if self.rate is None:
            return "–"
        return f"{self.rate:,.0f} {self.unit}/s" if self.rate >= 10 else f"{self.rate:.2g} {self.unit}/s"

    @property
    def state(self) -> str:
        """In words."""
        if not self.found:
            return "made"
        return "found" if self.found == self.tables else f"{self.found} of {self.tables} found"


@dataclass(frozen=True)
class Timing:
    """A run in seconds."""

    steps: Sequence[Step]
    waits: Sequence[tuple[str, float]]
    """What the run waited for, in the order of the method, and last what was no stage."""
    whole: float
    """From the beginning of the first table to the end of the last, pauses left out."""
    pauses: float


def timing(tables: Mapping[str, Sequence[TableRef]], since: float) -> Timing | None:
    """`since`: when the version before was published, in seconds since 1970, or 0. None where no table is known."""
    wanted = [(name, ref) for name in STEPS for ref in tables.get(name, ()) if ref is not None]
    made = list(ahead(_made, wanted, shared_pool("manifests", _READERS), window=4 * _READERS))
    if not made:
        return None
    steps = [_step(name, [one for one in made if one.step == name], since) for name in STEPS if name in tables]
    fresh = [one for one in made if one.end > since]
    waits, whole, pauses = waited([(one.start, one.end, one.step) for one in fresh])
    named = [(STEPS[name][0], waits[name]) for name in STEPS if waits.get(name)]
    idle = [("between stages", waits[""])] if waits.get("") else []
    return Timing([step for step in steps if step.tables], [*named, *idle], whole, pauses)


def waited(spans: Iterable[tuple[float, float, str]]) -> tuple[dict[str, float], float, float]:
    """Seconds by name, those of no name under ""; the whole without pauses; and the pauses."""
    events = sorted((time, change, name) for start, end, name in spans for time, change in ((start, 1), (end, -1)))
    found: dict[str, float] = {}
    active: Counter[str] = Counter()
    pauses = 0.0
    for (low, change, name), (high, _, _) in pairwise(events):
        active[name] += change
        working = +active
        if not working and high - low > PAUSE:
            pauses += high - low
            continue
        for one, tasks in (working or Counter({"": 1})).items():
            found[one] = found.get(one, 0.0) + (high - low) * tasks / max(1, working.total())
    return found, sum(found.values()), pauses


def _made(item: tuple[str, TableRef]) -> Made:
    name, ref = item
    said = table_store.manifest(ref.store, ref.folder)
    end = float(said.get("finished", 0.0))
    return Made(name, end - float(said.get("seconds", 0.0)), end, ref.rows, said.get("peak_mb"))


def _step(name: str, made: Sequence[Made], since: float) -> Step:
    fresh = [one for one in made if one.end > since]
    busy, _, _ = waited([(one.start, one.end, name) for one in fresh])
    peaks = [one.peak_mb for one in fresh if one.peak_mb]
    words, unit = STEPS[name]
    return Step(
        name=words,
        unit=unit,
        tables=len(made),
        found=len(made) - len(fresh),
        rows=sum(one.rows for one in made),
        wall=busy.get(name, 0.0),
        work=sum(one.end - one.start for one in fresh),
        made_rows=sum(one.rows for one in fresh),
        peak_mb=max(peaks) if peaks else None,
    )


def as_bar(found: Timing) -> list[dict[str, Any]]:
    """The waits as shares of a bar, 0 to 100; what is too short to be seen is one piece."""
    whole = found.whole or 1.0
    long = [(name, seconds) for name, seconds in found.waits if seconds >= _SEEN * whole]
    rest = fsum(seconds for _, seconds in found.waits) - fsum(seconds for _, seconds in long)
    waits = [*long, *([("other stages", rest)] if rest > 0 else [])]
    return [{"name": name, "seconds": seconds, "share": round(100 * seconds / whole, 2)} for name, seconds in waits]


def in_words(seconds: float) -> str:
    """54 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
