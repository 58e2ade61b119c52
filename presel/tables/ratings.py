"""How good a judge finds each turn, 1 to 5 in four respects: FineVision's columns, so that its tools and habits apply.

They lie in a file beside the instructions they are about, so that a table of instructions is the same whoever rated it.
Thresholds belong to training time: nothing is dropped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from presel.errors import NotFound
from presel.tables import table_store
from presel.tables.schemas import TEXT, TableRef

RESPECTS: Mapping[str, str] = {
    "relevance": "how well the response answers the question",
    "image_correspondence": "how well question and response agree with what the image shows",
    "visual_dependency": "how much the image is needed: 1 where the question answers itself, 5 where nobody could "
    "answer it without looking",
    "formatting": "how clean question and response are as text: language, spelling, form",
}
"""What is rated, and what 5 means against 1."""
WORST, BEST = 1, 5
FILE = "ratings.parquet"
Rating = Mapping[str, int]
"""Of one turn: each respect with its rating."""

FIELDS: list[tuple[str, pa.DataType]] = [
    (name, kind)
    for respect in RESPECTS
    for name, kind in ((f"{respect}_ratings", pa.list_(pa.int8())), (f"{respect}_min", pa.int8()))
]
"""Of a record: a rating for each turn, and the least of them; null where nobody rated it."""
RATINGS = pa.schema([("sample_id", TEXT), *FIELDS])


def row(sample_id: str, ratings: Sequence[Rating]) -> dict[str, Any]:
    """A row of RATINGS."""
    found: dict[str, Any] = {"sample_id": sample_id}
    for respect in RESPECTS:
        values = [rating[respect] for rating in ratings]
        found |= {f"{respect}_ratings": values, f"{respect}_min": min(values)}
    return found


def of(ref: TableRef) -> pa.Table:
    """RATINGS of a table of instructions; empty where nobody rated them."""
    try:
        return table_store.decode(table_store.file(ref, FILE))
    except NotFound:
        return RATINGS.empty_table()
