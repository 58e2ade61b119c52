"""The near-duplicate guard's threshold from retakes of the pool's own images, for the encoder that is used.

What two takes of one scene look like depends on the encoder and on the pictures: with the demo's encoder 0.98 lets three
clocks of one time pass, with another it would take ordinary neighbours for copies. So some of the pool's images are taken
again here (cropped, lit otherwise, encoded anew), and their cosines to themselves say where copies begin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from presel import encoders
from presel.config import EncoderConfig, SelectionConfig, SourceConfig
from presel.images import Rejected, decode
from presel.images.retakes import retaken
from presel.selection.duplicates import calibrated_threshold
from presel.selection.reference import draw_order
from presel.sources import open_source
from presel.tables import table_store
from presel.tables.guard import GUARD_FILE, encoded_guard
from presel.tables.schemas import TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output
from presel.tables.vectors import unit_vectors

A_TASK = 20
"""Images of a task that are taken again."""
_OTHERS = 500
_COLUMNS = ["sample_id", "key", "vector"]
Vectors = npt.NDArray[np.float32]


@stage("calibrate", version=1)
def calibrate(
    out: Output, samples: TableRef, source: SourceConfig, encoder: EncoderConfig, config: SelectionConfig, seed: int
) -> None:
    """`guard.json` alone: a threshold for every task. A_TASK images of each are read, none unless it is to be calibrated.

    An image that cannot be read again is passed over: it says nothing about retakes.
    """
    tasks: dict[str, dict[str, float | int | None]] = {}
    for part in samples.split():
        if config.near_duplicate == "auto":
            tasks[part.label] = _calibrated(part, source, encoder, seed)
        else:
            tasks[part.label] = {"threshold": config.near_duplicate}
    out.write_file(GUARD_FILE, encoded_guard({"tasks": tasks}))


def _calibrated(
    part: TableRef, source: SourceConfig, encoder: EncoderConfig, seed: int
) -> dict[str, float | int | None]:
    """A task's threshold, and what it comes from."""
    table = table_store.read(part, _COLUMNS)
    order = draw_order(table["sample_id"].to_pylist(), seed)
    drawn, rest = order[:A_TASK], order[: A_TASK + _OTHERS]
    vectors = unit_vectors(table)
    retakes, others = [], [np.zeros(0)]
    for place, again in _retaken(table, drawn, source, encoder, seed):
        retakes.append(float(vectors[place] @ again))
        apart = [n for n in rest if n != place]
        others.append(vectors[apart].astype(np.float64) @ vectors[place].astype(np.float64))
    near = np.concatenate(others)
    found: dict[str, float | int | None] = {
        "threshold": calibrated_threshold(np.array(retakes), near),
        "retakes": len(retakes),
    }
    if retakes and len(near):
        found |= {
            "retakes_median": round(float(np.median(retakes)), 6),
            "others_99": round(float(np.quantile(near, 0.99)), 6),
        }
    return found


def _retaken(
    table: pa.Table, drawn: list[int], source: SourceConfig, encoder: EncoderConfig, seed: int
) -> Iterator[tuple[int, Vectors]]:
    """Row number and unit vector of a retake of each drawn image that can be read."""
    model, reading = encoders.load_encoder(encoder), open_source(source)
    places, prepared = [], []
    for place in drawn:
        key, name = table["key"][place].as_py(), table["sample_id"][place].as_py()
        data = reading.read(key)
        image = data if isinstance(data, Rejected) else decode(data, encoder.images, key)
        if isinstance(image, Rejected):
            continue
        places.append(place)
        prepared.append(model.prepare(retaken(image, Random(f"{seed}/retake/{name}"))))
    if not places:
        return
    vectors = model.encode(prepared)
    for place, vector in zip(places, vectors, strict=True):
        length = float(np.linalg.norm(vector))
        if math.isfinite(length) and length > 0:
            yield place, np.asarray(vector / length, dtype=np.float32)
