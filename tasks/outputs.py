"""What every task of a run has put out, and where it lies: the page `<dataset>-outputs`."""

from __future__ import annotations

from presel.report.card import plain
from presel.runs.run_record import RunRecord
from presel.tables.schemas import DatasetRef, TableRef

COLUMNS = ("stage", "task", "rows", "rejects", "state", "seconds", "digest", "address")
_MOST = 1000
"""Rows shown: an artifact stays below 200 kB."""
_IN_WORDS = {"Completed": "made"}


class Outputs:
    """Those of one flow run, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | int, ...]] = []
        """Of COLUMNS."""
        self.dataset: DatasetRef | None = None
        """The latest version that the run has published or found."""
        self._seconds: dict[str, float] = {}
        self._store = ""

    def took(self, task_run: str, seconds: float) -> None:
        """A task that was run, and was not cached, took so long."""
        self._seconds[task_run] = seconds

    def add(self, stage: str, state: str, task_run: str, result: object) -> int:
        """What a task returned, if that lies somewhere. Returns its rows.

        `state`: Completed, Cached, or Ran for a task that looks at the world every time, and may have found what it returns.
        """
        seconds, came = self._seconds.pop(task_run, None), _IN_WORDS.get(state, state.lower())
        spent = "" if seconds is None else f"{seconds:.1f}"
        if isinstance(result, RunRecord):
            result = result.report
        if isinstance(result, TableRef):
            self._store = self._store or result.store
            task, rows = result.label if result.parts else "", result.rows
            self.rows.append((stage, task, rows, result.rejects, came, spent, result.digest[:8], result.folder))
            return rows
        if isinstance(result, DatasetRef):
            self.dataset = result
            address = f"datasets/{result.name}/{result.version}"
            self.rows.append((stage, result.name, result.records, "", came, spent, result.digest[:8], address))
            return result.records
        if isinstance(result, str) and "\n" not in result:  # an address, not what is shown to somebody
            self.rows.append((stage, "", "", "", came, spent, "", result))
        return 0

    def page(self) -> str:
        """Markdown of at most 1,000 rows; empty while there are none.

        A table artifact would cut the addresses off. Here they wrap, and a browser's search finds any of them.
        """
        if not self.rows:
            return ""
        cells = [COLUMNS, ["---"] * len(COLUMNS), *(map(_cell, row) for row in self.rows[:_MOST])]
        return f"{self.words()}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def words(self) -> str:
        """How many were found done, and what their addresses are relative to."""
        cached = sum("cached" in row for row in self.rows)
        some = f" The first {_MOST:,} are shown." if len(self.rows) > _MOST else ""
        return f"{len(self.rows):,} outputs, {cached:,} of them cached. Addresses are below {plain(self._store)}.{some}"


def _cell(value: str | int) -> str:
    """A key has no place to break at: it begins a line of its own."""
    return "/<br>".join(plain(value).rsplit("/", 1)) if value != "" else ""
