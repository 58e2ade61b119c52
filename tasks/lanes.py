"""One stage of a run as its board shows it: tasks, how far, how fast, how long it took."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from presel.concurrency.progress import Pace, Progress, duration
from presel.report.card import plain


@dataclass(eq=False)
class Lane:
    """One stage in one round (instructing has two): its tasks, and what those that work here have told."""

    stage: str
    name: str
    looks: bool = False
    """Its tasks look at the world or show something, every time: they are never cached."""
    submitted: int = 0
    rows: int = 0
    """Of the tables that its tasks have made or found."""
    began: float | None = None
    """When the first of its tasks was run here; None as long as none was."""
    ceased: float = 0.0
    """When the latest was over."""
    ended: Counter[str] = field(default_factory=Counter)
    told: dict[str, Progress] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    rejects: int = 0

    @property
    def tasks(self) -> int:
        return max(self.submitted, self.ended.total(), len(self.told))

    @property
    def silent(self) -> int:
        """Tasks that have not begun."""
        return max(0, self.tasks - len(self.told) - self.ended["Cached"])

    @property
    def done(self) -> int:
        return sum(progress.done for progress in self.told.values())

    @property
    def total(self) -> float:
        """What all tasks will come to, those that have not begun taken as the mean of those that have."""
        known = sum(progress.total for progress in self.told.values())
        return known + self.silent * known / len(self.told) if self.told else 0.0

    @property
    def over(self) -> bool:
        return self.ended.total() >= self.tasks

    @property
    def unit(self) -> str:
        return next(iter(self.told.values())).unit if self.told else "tasks"

    @property
    def trouble(self) -> str:
        """Why it does not go on, as its tasks tell it: one of them, since they ask the same endpoint."""
        return next((told.trouble for told in self.told.values() if told.trouble), "")

    @property
    def note(self) -> str:
        """What its only task says beside the numbers."""
        return next(iter(self.told.values())).note if len(self.told) == 1 and self.submitted == 1 else ""


def row(lane: Lane, running: bool) -> str:
    """Of the board's table. Only one that runs has a pace."""
    others = ", ".join(
        f"{count} {state.lower()}" for state, count in sorted(lane.ended.items()) if state != "Completed"
    )
    tasks = f"{lane.ended.total():,} of {lane.tasks:,}" + (f" ({others})" if others else "")
    speed = f" {plain(pace(lane)) if not lane.over else ''} |" if running else ""
    return f"| {lane.name} | {tasks} | {done(lane)} |{speed} {took(lane)} |\n"


def done(lane: Lane) -> str:
    """How far it is; in the end, how much it was."""
    if not lane.told:
        rows = f"{lane.rows:,} rows" if lane.rows else ""
        return rows if lane.over else f"{lane.ended.total():,} of {lane.tasks:,} tasks"
    if lane.over:
        return f"{lane.done:,} {lane.unit}" + (f": {lane.note}" if lane.note else "")
    share = min(1.0, lane.done / lane.total) if lane.total else 0.0
    return f"{lane.done:,} of {'about ' if lane.silent else ''}{lane.total:,.0f} {lane.unit} ({share:.0%})"


def pace(lane: Lane) -> str:
    """How fast it is, or why it is not."""
    if lane.trouble:
        return lane.trouble
    return lane.pace.words(lane.unit, lane.total - lane.done) if lane.told else "under way"


def took(lane: Lane) -> str:
    """From the first of its tasks to the last, until now while some are left; nothing where every one was cached."""
    if lane.began is None:
        return ""
    return duration((lane.ceased if lane.over else time.monotonic()) - lane.began)
