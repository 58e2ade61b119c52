"""The board of a flow run: one page that is brought up to date while it runs. What it waits for or how it ended; every stage,
how far, how fast, how long; the money spent, against the cap; and links to everything else that the run shows, in order.

A run of hundreds of tasks has hundreds of bars and no sum; this is the sum. It is an artifact of the flow run with the key
`<dataset>-board`, and its description is the one line that matters, which the UI's list of artifacts shows without a click.
That list has no order: the server draws an artifact's id at random and the UI sorts by it. So the board is the contents.

Tasks are counted where the flow calls or submits them, their progress is heard in the threads that run them. With
`execution.runner: ray` or `dask` those are elsewhere: there the board counts tasks, and each task run shows how far it is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import fsum
from threading import RLock, Timer
from typing import Any

from prefect import Flow, runtime
from prefect.client.schemas.objects import FlowRun, State

from presel.concurrency.progress import Listener, Progress, duration
from presel.config import DatasetConfig
from presel.errors import BudgetExceeded
from presel.report.card import plain
from presel.runs.figures import dollars
from presel.tables.schemas import TableRef
from tasks.artifacts import LiveArtifact
from tasks.lanes import Lane, done, pace, row
from tasks.outputs import Outputs
from tasks.run_names import ended, rename

BOARD, RUNNING = "board", "Running"
UNDER_WAY = "still under way"
"""On every board whose run has not ended, whatever its headline: tasks/orphans.py looks for it."""
_READ = ("plan", "result", "gallery", "rejects", "outputs", "report")
"""What the run shows beside the board, in the order of reading."""
_SECONDS_BETWEEN_UPDATES = 3.0


class Board:
    """What is known of one flow run. Thread-safe."""

    def __init__(self, name: str, flow_run: str) -> None:
        self.lanes: list[Lane] = []
        self.outputs = Outputs()
        self._run = flow_run
        self._artifact = LiveArtifact("markdown", f"{name}-{BOARD}", flow_run)
        self._list = LiveArtifact("markdown", f"{name}-outputs", flow_run)
        self._links: dict[str, str] = {}
        self._lock = RLock()
        self._began = time.monotonic()
        self._next = self._began
        self._later: Timer | None = None
        self._over = False

    def begun(self, stage: str, name: str, looks: bool = False) -> Lane:
        """One more task of a stage was called or submitted; `name` is that of the stage in this round."""
        with self._lock:
            lane = next((lane for lane in self.lanes if lane.name == name), None) or self._add(stage, name)
            lane.submitted += 1
            lane.looks = looks
        self._show_if_due()
        return lane

    def ended(self, lane: Lane, state: str, result: object = None, task_run: str = "") -> None:
        """One of its tasks is over, with this result."""
        with self._lock:
            lane.ended[state] += 1
            lane.rejects += result.rejects if isinstance(result, TableRef) else 0
            lane.ceased = time.monotonic()
            lane.rows += self.outputs.add(lane.name, "Ran" if lane.looks else state, task_run, result)
        self._show_if_due()

    def links(self, what: str, address: str) -> None:
        """Something to read: another artifact's id, or where a browser finds it."""
        with self._lock:
            self._links[what] = address

    def seen(self) -> list[Lane]:
        """The lanes as they are at this moment."""
        with self._lock:
            return [replace(lane, ended=Counter(lane.ended), told=dict(lane.told)) for lane in self.lanes]

    def listener(self, stage: str, task_run: str) -> Listener:
        """Hears the progress of one task run, which begins now."""
        with self._lock:
            lane = self._lane(stage)
            lane.began = lane.began or time.monotonic()

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
            page, words = self.outputs.page(), self.outputs.words()
        if page:
            self._list.say(page, words)
            self._list.settle()
            if self._list.id:
                self.links("outputs", str(self._list.id))
        self._show(state)
        self._artifact.settle()

    def end(self, state: str) -> None:
        """Say how the run ended; what tasks still tell after that changes nothing."""
        self._over = True
        self.say(state)

    def page(self, state: str) -> str:
        """Markdown."""
        now = datetime.now(UTC).strftime("%H:%M:%S UTC")
        age, running = duration(time.monotonic() - self._began), state == RUNNING
        with self._lock:
            rows, money = [row(lane, running) for lane in self.lanes], self._money()
            headline, read = self._headline(state), self._contents()
        since = f"{age} after the start, as of {now}" + ("" if self._over else f", {UNDER_WAY}")
        columns = ["stage", "tasks", "done", *(["pace"] if running else []), "time"]
        head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
        return f"## {plain(headline)}\n\n{since[0].upper()}{since[1:]}.{money}\n\n{read}{head}{''.join(rows)}"

    def line(self, state: str) -> str:
        """The line that matters: what is being done or waited for, or where it ended."""
        with self._lock:
            came = "" if state == RUNNING else self._came()
            return f"{self._headline(state)}.{came}{self._money()}"

    def _headline(self, state: str) -> str:
        """What a person acts on."""
        if state != RUNNING:
            return state
        busy = [lane for lane in self.lanes if not lane.over]
        words = "; ".join(f"{lane.name}: {done(lane)}, {pace(lane)}" for lane in busy) or "between two stages"
        waits = any(lane.trouble for lane in busy)
        return f"Waiting for the endpoint. {words[0].upper()}{words[1:]}" if waits else f"{RUNNING}. {words}"

    def _contents(self) -> str:
        """Links, such as both of Prefect's UIs understand."""
        read = [(what, self._links[what]) for what in _READ if what in self._links]
        shown = [f"[{what}]({to if '/' in to else f'./{to}'})" for what, to in read]
        return f"Read: {' · '.join([f'[the run](../../runs/flow-run/{self._run})', *shown])}\n\n"

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

    def name(self, flow: str) -> str:
        """What the run is called once it is over; empty where it has to do with no version of a dataset."""
        with self._lock:
            publish = self._came().strip(" .")
            found, spent = self.outputs.dataset, self._sum("spent_usd")
            return ended(flow, found, publish[:1].lower() + publish[1:], spent) if found else ""

    def _told(self) -> list[Mapping[str, float]]:
        return [progress.figures for lane in self.lanes for progress in lane.told.values() if progress.figures]

    def _sum(self, figure: str) -> float:
        return fsum(figures.get(figure, 0.0) for figures in self._told())

    def _money(self) -> str:
        """What was paid, if anything was asked for: by this run, and by the store against its cap."""
        told = self._told()
        if not told:
            return ""
        spent, saved = self._sum("spent_usd"), self._sum("saved_usd")
        store, cap = (max(figures.get(name, 0.0) for figures in told) for name in ("store_usd", "cap_usd"))
        words = f" This run has spent {dollars(spent)}" + (f" ({dollars(saved)} saved by reuse)" if saved else "")
        return (
            f"{words}; the store {dollars(store)} of its cap of {dollars(cap)} ({store / cap:.1%})."
            if cap
            else f"{words}."
        )


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


def close_board(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """A hook of every flow, for each way in which one can end."""
    found = _boards.pop(str(flow_run.id), None)
    if found is not None and found.lanes:
        if name := found.name(str(flow.name)):
            rename(name, str(flow_run.id))
        found.end(_ending(state))


def _ending(state: State) -> str:
    """How it ended, in words: an error of ours says what to do."""
    error = state.result(raise_on_failure=False) if state.is_failed() else None
    if isinstance(error, BudgetExceeded):
        return f"The cap is reached: {' '.join(str(error).split())}"
    said = " ".join((state.message or "").split()).removeprefix("Flow run encountered an exception: ")
    return f"{state.name}: {said}" if said else str(state.name)


def close_stopped() -> None:
    """A signal ends this process, and no hook is called for its flow run."""
    for found in list(_boards.values()):
        found.end("Stopped by a signal")


def _dataset(parameters: dict[str, Any]) -> str:
    config = parameters.get("config")
    given = config.get("dataset", {}) if isinstance(config, dict) else {}
    return str(given.get("name") or DatasetConfig().name)
