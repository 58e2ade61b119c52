"""The board of a flow run: one page that is brought up to date while it runs. Every stage, how far, how fast, how long still;
the money spent, against the cap.

A run of hundreds of tasks has hundreds of bars and no sum; this is the sum. It is an artifact of the flow run with the key
`<dataset>-board`, and its description is the one line that matters, which the UI's list of artifacts shows without a click.

Tasks are counted where the flow calls or submits them, their progress is heard in the threads that run them. With
`execution.runner: ray` or `dask` those are elsewhere: there the board counts tasks, and each task run shows how far it is.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import fsum
from threading import RLock, Timer
from typing import Any

from prefect import Flow, runtime
from prefect.client.schemas.objects import FlowRun, State

from presel.config import DatasetConfig
from presel.progress import Listener, Pace, Progress, duration
from presel.report.card import plain
from presel.runs.figures import dollars
from presel.tables.schemas import TableRef
from tasks.artifacts import LiveArtifact

BOARD, RUNNING = "board", "Running"
_SECONDS_BETWEEN_UPDATES = 3.0


@dataclass(eq=False)
class Lane:
    """One stage in one round (instructing has two): its tasks, and what those that work here have told."""

    stage: str
    name: str
    submitted: int = 0
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


class Board:
    """What is known of one flow run. Thread-safe."""

    def __init__(self, name: str, flow_run: str) -> None:
        self.lanes: list[Lane] = []
        self._artifact = LiveArtifact("markdown", f"{name}-{BOARD}", flow_run)
        self._lock = RLock()
        self._began = time.monotonic()
        self._next = self._began
        self._later: Timer | None = None
        self._over = False

    def begun(self, stage: str, name: str) -> Lane:
        """One more task of a stage was called or submitted; `name` is that of the stage in this round."""
        with self._lock:
            lane = next((lane for lane in self.lanes if lane.name == name), None) or self._add(stage, name)
            lane.submitted += 1
        self._show_if_due()
        return lane

    def ended(self, lane: Lane, state: str, result: object = None) -> None:
        """One of its tasks is over, with this result."""
        with self._lock:
            lane.ended[state] += 1
            lane.rejects += result.rejects if isinstance(result, TableRef) else 0
        self._show_if_due()

    def seen(self) -> list[Lane]:
        """The lanes as they are at this moment."""
        with self._lock:
            return [replace(lane, ended=Counter(lane.ended), told=dict(lane.told)) for lane in self.lanes]

    def listener(self, stage: str, task_run: str) -> Listener:
        """Hears the progress of one task run."""

        def hear(progress: Progress) -> None:
            with self._lock:
                lane = self._lane(stage)
                lane.told[task_run] = progress
                lane.pace.reached(lane.done)
            self._show_if_due()

        return hear

    def say(self, state: str) -> None:
        """Show where the run stands, now and until something happens, and wait a little until that is to be seen."""
        with self._lock:
            if self._later is not None:
                self._later.cancel()
                self._later = None
        self._show(state)
        self._artifact.settle()

    def end(self, state: str) -> None:
        """Say how the run ended; what tasks still tell after that changes nothing."""
        self._over = True
        self.say(state)

    def page(self, state: str) -> str:
        """Markdown."""
        now = datetime.now(UTC).strftime("%H:%M:%S UTC")
        took = duration(time.monotonic() - self._began)
        with self._lock:
            rows, money = [_row(lane, state == RUNNING) for lane in self.lanes], self._money()
        head = "| stage | tasks | done | pace |\n|---|---|---|---|\n"
        return f"**{plain(state)}**, {took} after the start, as of {now}.{money}\n\n{head}{''.join(rows)}"

    def line(self, state: str) -> str:
        """The line that matters: what is being done, or where it ended."""
        with self._lock:
            busy = [lane for lane in self.lanes if not lane.over]
            words = "; ".join(f"{lane.name}: {_done(lane)}, {_pace(lane)}" for lane in busy) or "between two stages"
            came = "" if state == RUNNING else self._came()
            return f"{words if state == RUNNING else state}.{came}{self._money()}"

    def _lane(self, stage: str) -> Lane:
        """The latest of that stage."""
        return next((lane for lane in reversed(self.lanes) if lane.stage == stage), None) or self._add(stage, stage)

    def _add(self, stage: str, name: str) -> Lane:
        self.lanes.append(Lane(stage, name))
        return self.lanes[-1]

    def _show_if_due(self) -> None:
        """At once, or when the time between two updates is over: the last thing that happened is always shown."""
        with self._lock:
            wait = self._next - time.monotonic()
            if self._over or self._later is not None:
                return
            if wait > 0:
                self._later = Timer(wait, self._show_later)
                self._later.daemon = True
                self._later.start()
                return
            self._next += _SECONDS_BETWEEN_UPDATES - wait
        self._show(RUNNING)

    def _show_later(self) -> None:
        with self._lock:
            if self._later is None:  # called off while it waited for the lock
                return
            self._later = None
        self._show_if_due()

    def _came(self) -> str:
        """What was published, in the words of the stage that did."""
        return next(
            (
                f" {note[0].upper()}{note[1:]}."
                for lane in self.lanes
                if lane.stage == "publish" and (note := lane.note)
            ),
            "",
        )

    def _show(self, state: str) -> None:
        self._artifact.say(self.page(state), self.line(state))

    def _money(self) -> str:
        """What was paid, if anything was asked for: by this run, and by the store against its cap."""
        told = [progress.figures for lane in self.lanes for progress in lane.told.values() if progress.figures]
        if not told:
            return ""
        spent, saved = (fsum(figures.get(name, 0.0) for figures in told) for name in ("spent_usd", "saved_usd"))
        store, cap = (max(figures.get(name, 0.0) for figures in told) for name in ("store_usd", "cap_usd"))
        words = f" This run has spent {dollars(spent)}" + (f" ({dollars(saved)} saved by reuse)" if saved else "")
        return (
            f"{words}; the store {dollars(store)} of its cap of {dollars(cap)} ({store / cap:.1%})."
            if cap
            else f"{words}."
        )


def _row(lane: Lane, running: bool) -> str:
    others = ", ".join(
        f"{count} {state.lower()}" for state, count in sorted(lane.ended.items()) if state != "Completed"
    )
    tasks = f"{lane.ended.total():,} of {lane.tasks:,}" + (f" ({others})" if others else "")
    return f"| {lane.name} | {tasks} | {_done(lane)} | {plain(_pace(lane)) if running and not lane.over else ''} |\n"


def _done(lane: Lane) -> str:
    if not lane.told:
        return "" if lane.over else f"{lane.ended.total():,} of {lane.tasks:,} tasks"
    if lane.over:
        return f"{lane.done:,} {lane.unit}" + (f": {lane.note}" if lane.note else "")
    share = min(1.0, lane.done / lane.total) if lane.total else 0.0
    return f"{lane.done:,} of {'about ' if lane.silent else ''}{lane.total:,.0f} {lane.unit} ({share:.0%})"


def _pace(lane: Lane) -> str:
    if lane.trouble:
        return lane.trouble
    return lane.pace.words(lane.unit, lane.total - lane.done) if lane.told else "under way"


# --- the boards of the flow runs in this process ---------------------------------------------------------------------------

_boards: dict[str, Board] = {}
_newest: list[Board] = []


def board() -> Board | None:
    """That of the flow run of this context; None where the flow itself runs in another process."""
    return _boards.get(str(runtime.flow_run.id))


def lanes() -> list[Lane]:
    """Those of the flow run that this process began last, also when it is over: what a terminal shows."""
    return _newest[0].seen() if _newest else []


def open_board(_flow: Flow[..., object], flow_run: FlowRun, _state: State) -> None:
    """A hook of every flow (`on_running`)."""
    _boards[str(flow_run.id)] = opened = Board(_dataset(flow_run.parameters), str(flow_run.id))
    _newest[:] = [opened]


def close_board(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - workers pass it by name
    """A hook of every flow, for each way in which one can end."""
    found = _boards.pop(str(flow_run.id), None)
    if found is not None and found.lanes:
        words = f"{state.name}: {' '.join(state.message.split())}" if state.message else str(state.name)
        found.end(words)


def close_stopped() -> None:
    """A signal ends this process, and no hook is called for its flow run."""
    for found in list(_boards.values()):
        found.end("Stopped by a signal")


def _dataset(parameters: dict[str, Any]) -> str:
    config = parameters.get("config")
    given = config.get("dataset", {}) if isinstance(config, dict) else {}
    return str(given.get("name") or DatasetConfig().name)
