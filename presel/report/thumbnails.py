"""The pictures of a page, read again from the source: large ones for galleries, small ones for everything else.

One that is gone, or is not the one that was chosen, is left out: it shows as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from presel.concurrency import progress
from presel.concurrency.ahead import ahead, shared_pool
from presel.config import ImageConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.dataset.rows import digest_of
from presel.errors import NotFound
from presel.images import Rejected, thumbnail
from presel.images.decoders import opened
from presel.report import sheets
from presel.report.contents import Face
from presel.report.refusals import Group, picture_name
from presel.report.survey import Survey
from presel.sources import open_source
from presel.sources.source import Source

SIDE = 208
"""Pixels of a thumbnail's longer side: 156 to 180 CSS pixels wide on the page, and sharp enough in the enlarged view."""
MOST = 1_600
"""Pictures that a report reads: at half a megabyte each, 800 MB from a bucket."""
_READERS = 8


@dataclass(frozen=True)
class Wanted:
    """A picture that a page would show."""

    name: str
    key: str
    task: str = ""
    content: str | None = None
    """The digest that its bytes must have; without one they must be those of the sample `name`, or any where `any` is set."""
    any: bool = False


def small_ones(found: Survey, refused: Iterable[Group]) -> list[Wanted]:
    """What a page shows small, the most telling first: neighbours, near-copies, rejects, clusters, then the map."""
    faces: list[Face | None] = []
    wanted = []
    for beside in found.beside.values():
        wanted += [_of(side[0]) for side in (beside.skipped, beside.picked) if side]
    for copies in found.copies:
        faces += [face for pair in (*copies.taken_out, *copies.alike) for face in (pair.copy, pair.original)]
    for cluster in found.clusters[:MOST]:
        faces += [cluster.first, cluster.last, *cluster.others]
    wanted += [
        Wanted(picture_name(row), row["key"], row["task"], any=not row["id"])
        for group in refused
        for row in group.examples
    ]
    wanted += [_of(face) for face in faces if face]
    if found.map:
        dots = sorted(found.map.dots, key=lambda dot: (dot.kind == "pool", dot.sample_id))
        # Alternately, so that a map of a large pool has pictures of both kinds.
        chosen, others = ([dot for dot in dots if (dot.kind == "pool") is pool] for pool in (False, True))
        wanted += [_of(dot) for dot in [*chosen[: MOST // 3], *others[: MOST // 3], *chosen[MOST // 3 :], *others]]
    return list({one.name: one for one in reversed(wanted)}.values())[::-1]


def taken(
    large: Iterable[Mapping[str, Any]], small: Iterable[Wanted], source: SourceConfig, limits: ImageConfig
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Name to JPEG, large and small. `large` are records; each of them is there small as well."""
    shown = [Wanted(row["sample_id"], row["key"], row["task"], digest_of(row)) for row in large]
    names = {one.name for one in shown}
    wanted = list({one.name: one for one in (*shown, *small)}.values())[: max(MOST, len(names))]
    images = open_source(source)
    images.expect(len(wanted))

    def take(one: Wanted) -> tuple[bytes | None, bytes] | None:
        image = _opened(one, images, limits)
        if image is None:
            return None
        return thumbnail(image, SIDE) if one.name in names else None, thumbnail(image, sheets.SIDE)

    pictures: dict[str, bytes] = {}
    cells: dict[str, bytes] = {}
    pool = shared_pool("pictures", _READERS)
    for done, (one, found) in enumerate(zip(wanted, ahead(take, wanted, pool, window=4 * _READERS), strict=True)):
        if found is not None:
            cells[one.name] = found[1]
            if found[0] is not None:
                pictures[one.name] = found[0]
        progress.report("report", "thumbnails", done + 1, len(wanted), "images")
    return pictures, cells


def _opened(one: Wanted, images: Source, limits: ImageConfig) -> Any:
    """The picture, or None. What was rejected for its shape is shown in that shape, as long as it decodes."""
    with suppress(NotFound):  # the whole source may be gone by now
        data = images.read_content(one.key, one.content) if one.content else images.read(one.key)
        if isinstance(data, Rejected):
            return None
        if not one.content and not one.any and sample_id(one.task, digest(data)) != one.name:
            return None
        bounds = limits.model_copy(update={"min_side": 1, "max_aspect_ratio": 1e6}) if one.any else limits
        image = opened(data, bounds, one.key, SIDE)
        return None if isinstance(image, Rejected) else image
    return None


def _of(one: Any) -> Wanted:
    """Of a dot or a face."""
    return Wanted(one.sample_id, one.key, getattr(one, "task", ""), one.content or None)
