"""The report in pieces, for the Prefect UI: rows for its tables, Markdown with inlined pictures for the rest.

Each stays below 200 kB: artifacts live in the server's database, and its Artifacts page loads every latest one. The plan
is read from its tables, because it is shown before anything is published; map and gallery were made with the report.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from presel import table_store
from presel.dataset.records import rejected
from presel.errors import InputError
from presel.images import thumbnail
from presel.report.card import plain
from presel.report.contents import Contents, Row
from presel.report.figures import TaskLine, dollars, task_lines
from presel.report.gallery import picks_to_show
from presel.report.pictures import map_png, weights_png
from presel.run_record import RunRecord
from presel.tables import rows_of

LIMIT = 190_000
"""Characters of one piece."""
_REJECT_ROWS = 500
_COLUMNS = 4


def plan_rows(record: RunRecord) -> list[dict[str, Any]]:
    """The plan as rows of short words and numbers, one a task."""
    return [
        {
            "task": row["task"],
            "images": row["images"],
            "usable": row["usable"],
            "reference": row["reference"],
            "kept": row["kept"],
            "IRS": _rounded(row["irs"]),
            "IRS interval": _interval(row["irs_low"], row["irs_high"]),
            "weight": _rounded(row["weight"], 4),
            "supply": row["supply"],
            "quota": row["quota"],
            "shortfall": row["shortfall"],
            "price": dollars(row["price_usd"]),
            "price interval": f"{dollars(row['price_low_usd'])}–{dollars(row['price_high_usd'])}",
        }
        for row in rows_of(table_store.read(record.plan))
    ]


def plan_words(record: RunRecord) -> str:
    """One sentence a person can sign: how many images for how much, against all of them."""
    plan = rows_of(table_store.read(record.plan))
    quota, reference = (sum(row[name] for row in plan) for name in ("quota", "reference"))
    usable, shortfall = (sum(row[name] for row in plan) for name in ("usable", "shortfall"))
    low, high = (sum(row[name] or 0.0 for row in plan) for name in ("price_low_usd", "price_high_usd"))
    words = (
        f"{quota:,} images to instruct beside the {reference:,} of the reference set, of {usable:,} usable ones. "
        f"Expected price of the {quota:,}: {dollars(sum(row['price_usd'] or 0.0 for row in plan))} "
        f"({dollars(low)}–{dollars(high)}); all usable images would cost about {dollars(_everything(record, plan))}."
    )
    return f"{words} {shortfall:,} seats cannot be filled." if shortfall else words


def _everything(record: RunRecord, plan: Sequence[Row]) -> float:
    """What all usable images would cost at the prices of the reference answers, by the same rule as on the page."""
    bought = [
        row for ref in record.reference_instructions for row in rows_of(table_store.read(ref, ["task", "cost_usd"]))
    ]
    return sum(line.all_usd for line in task_lines(plan, [{**row, "origin": "reference"} for row in bought], []))


def reject_rows(record: RunRecord) -> list[dict[str, Any]]:
    """Refused images and answers, at most 500, every reason among them; how many there are of each stands in each row."""
    rows = rows_of(rejected(map(table_store.rejects, record.tables())))
    counts = Counter((row["stage"], row["reason"]) for row in rows)
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
            "reason": row["reason"],
            "of this kind": counts[row["stage"], row["reason"]],
            "task": row["task"],
            "key": row["key"][:200],
            "detail": row["detail"][:160],
        }
        for row in kept
    ]


def weights_markdown(record: RunRecord) -> str:
    """What a question is worth in each task, as a picture and a sentence."""
    lines = task_lines(rows_of(table_store.read(record.plan)), [], [])
    return (
        "## What a question is worth\n\n"
        f"{_picture('weights', weights_png(lines), 'png')}\n\n"
        "Instruction relevance score (dot) with its 95 % interval, heaviest task first, and the weight it leads to. "
        f"A low score means that the question matters. {_doubt(lines)}\n"
    )


def map_markdown(record: RunRecord) -> str:
    """The map of the pool, made with the report."""
    return _from_report(record, "map.md")


def gallery_markdown(record: RunRecord) -> str:
    """Some picks of every task, made with the report."""
    return _from_report(record, "gallery.md")


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
        f"{_picture('map of the pool', map_png(found), 'png')}\n\n"
        f"{len(found.dots):,} of {found.of:,} samples, drawn uniformly; {instructed:,} of these are instructed. {how}\n"
    )


def gallery_page(contents: Contents) -> str:
    """Markdown tables of thumbnails, a row a task, as many tasks and columns as fit below the limit."""
    order = {row["sample_id"]: row["order"] for row in contents.selection}
    picks = picks_to_show(contents.records, order, per_task=_COLUMNS)
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


def _cell(row: Row, picture: bytes | None) -> str:
    turn = row["turns"][0]
    words = f"*{plain(turn['question'][:80])}* {plain(turn['response'][:120])}"
    return f"{_picture('pick', thumbnail(picture, 96), 'jpeg') if picture else '(gone)'}<br>{words}"


def _picture(words: str, data: bytes, kind: str) -> str:
    return f"![{words}](data:image/{kind};base64,{base64.b64encode(data).decode()})"


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


def _from_report(record: RunRecord, name: str) -> str:
    if record.report is None:
        raise InputError("the run has no report yet", where="presel.report.pieces", fix="build the report first")
    return table_store.file(record.report, name).decode()


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.2f}–{high:.2f}"
