"""The map and the gallery in Markdown, with inlined pictures, for the Prefect UI; made with the report, from what it shows.

Each stays below 200 kB: artifacts live in the server's database, and its Artifacts page loads every latest one.
"""

from __future__ import annotations

import base64
from typing import Any

from presel.images import thumbnail
from presel.report.card import plain
from presel.report.contents import Contents
from presel.report.gallery import Row, spread
from presel.report.pictures import map_png

LIMIT = 190_000
"""Characters of one piece."""
_COLUMNS = 4


def map_page(contents: Contents) -> str:
    """Markdown of the map; a sentence where there is none."""
    found = contents.map
    if found is None:
        return "The pool is empty: there is nothing to map.\n"
    instructed = sum(dot.kind != "pool" for dot in found.dots)
    how = (
        f"t-SNE of the embeddings; {100 * found.kept:.0f} % of the ten nearest neighbours are kept, "
        "distances between islands mean nothing."
        if found.kept is not None
        else "The first two principal components of the embeddings."
    )
    return (
        "## Where the picks lie\n\n"
        f"{picture('map of the pool', map_png(found), 'png')}\n\n"
        f"{len(found.dots):,} of {found.of:,} samples, drawn uniformly; {instructed:,} of these are instructed. {how}\n"
    )


def gallery_page(contents: Contents) -> str:
    """Markdown tables of thumbnails, a row a task, as many tasks and columns as fit below the limit."""
    picks = {task: spread(rows, _COLUMNS) for task, rows in contents.shown.gallery.items()}
    for columns in range(_COLUMNS, 0, -1):
        page = _gallery(picks, contents.pictures, columns)
        if len(page.encode()) <= LIMIT:
            return page
    return _gallery(picks, contents.pictures, 1, LIMIT)


def _gallery(picks: dict[str, list[Row]], pictures: Any, columns: int, limit: int | None = None) -> str:
    page = f"## What was picked\n\n| task |{' |' * columns}\n|---|{'---|' * columns}\n"
    for task, rows in picks.items():
        cells = [_cell(row, pictures.get(row["sample_id"])) for row in rows[:columns]]
        line = f"| {plain(task)} | {' | '.join([*cells, *[''] * (columns - len(cells))])} |\n"
        if limit is not None and len((page + line).encode()) > limit - 100:
            return page + "\nThere are more tasks: the report shows them.\n"
        page += line
    return page


def _cell(row: Row, data: bytes | None) -> str:
    turn = row["turns"][0]
    words = f"*{plain(turn['question'][:80])}* {plain(turn['response'][:120])}"
    return f"{picture('pick', thumbnail(data, 96), 'jpeg') if data else '(gone)'}<br>{words}"


def picture(words: str, data: bytes, kind: str) -> str:
    """Markdown of a picture that needs no request."""
    return f"![{words}](data:image/{kind};base64,{base64.b64encode(data).decode()})"
