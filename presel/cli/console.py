"""What every command shares: words for people or JSON for scripts, and exit codes that mean something.

0 done          1 a bug or an unknown failure   2 wrong configuration or arguments   3 storage
4 integrity     5 a model cannot be used        6 the endpoint failed or refused     7 the money cap
8 the pool cannot give what is asked            130 interrupted
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from presel.errors import PreselError

_WIDEST = 400
_ONLY_IF_ANY = {"kept", "shortfall", "passed_over"}

screen = Console(highlight=False)
complaints = Console(stderr=True, highlight=False)


def show(result: object, as_json: bool, in_words: Callable[[], None]) -> None:
    """The result as JSON on standard output, or as words."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=_plain, ensure_ascii=False, indent=1) + "\n")
    else:
        in_words()


def table(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], total: bool = False) -> None:
    """Rows as a table. `columns` maps names to headings; numbers stand to the right.

    A column of `_ONLY_IF_ANY` is left out while it holds nothing but zeros.
    """
    columns = {
        name: heading for name, heading in columns.items() if name not in _ONLY_IF_ANY or any(r[name] for r in rows)
    }
    cells = [[_cell(row[name]) for name in columns] for row in rows]
    wide = sum(max(map(cell_len, column)) for column in zip(columns.values(), *cells, strict=True))
    narrow = screen.is_terminal and wide + 2 * len(columns) > screen.width
    padding = (0, 1) if not narrow else (0, 1, 0, 0)
    grid = Table(box=None, pad_edge=False, padding=padding, header_style="bold", show_footer=total)
    for number, (name, heading) in enumerate(columns.items()):
        numeric = any(isinstance(row[name], int | float) for row in rows)
        footer = _sum(rows, name) if total else ""
        if narrow:
            heading = heading.replace(" ", "\n")
        # A narrow terminal folds the names, so that every number stays below its heading.
        fold = narrow and number == 0
        grid.add_column(
            heading, justify="right" if numeric else "left", footer=footer, no_wrap=not fold, overflow="fold"
        )
    for row in cells:
        grid.add_row(*row)
    # As wide as it must be: in a pipe rich would rather cut the names off than pass 80 columns.
    (screen if narrow else Console(highlight=False, width=max(screen.width, _WIDEST))).print(grid, crop=False)


def explain_failure(error: PreselError, as_json: bool) -> int:
    """Print what went wrong and what to do; return the exit code."""
    if as_json:
        parts = {"error": type(error).__name__, "what": error.what, "where": error.where, "fix": error.fix}
        sys.stdout.write(json.dumps({**parts, "message": str(error)}, ensure_ascii=False) + "\n")
    else:
        complaints.print(f"[bold red]{type(error).__name__}[/] ", end="")
        complaints.print(str(error), markup=False, soft_wrap=True)
    return error.exit_code


def _sum(rows: Sequence[Mapping[str, object]], name: str) -> str:
    values = [row[name] for row in rows]
    if all(isinstance(value, int) for value in values):
        return str(sum(value for value in values if isinstance(value, int)))
    return ""


def visible(text: str) -> str:
    """A name from the pool as a terminal may show it: keys may hold line breaks, escape sequences and reversed writing."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if value == "":
        return "(none)"
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(visible(str(value)))  # a task may be called `[bold]`


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")
