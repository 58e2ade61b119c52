"""Small pictures by the hundred: sheets of 128 cells, so that a page with 1,600 pictures is a few files and not 2,000.

The first sheets are part of the page; those that do not fit lie in a folder beside it, and are loaded when one of their
cells is looked at. A page that was sent without its folder lacks these pictures, and says so in their place.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from presel.images.pillow import Image

SIDE, COLUMNS, ROWS = 96, 16, 8
"""Pixels of a cell; cells of a sheet."""
INLINE = 900_000
"""Characters of base64 that the page holds."""
_GROUND = (128, 128, 128)


@dataclass(frozen=True)
class Sheets:
    """Pictures by name: a cell each, numbered through all sheets."""

    files: tuple[bytes, ...] = ()
    cells: Mapping[str, int] | None = None

    def cell(self, name: str) -> int:
        """-1 where there is none."""
        return (self.cells or {}).get(name, -1)

    def inlined(self) -> int:
        """How many of the sheets the page itself holds."""
        room, count = INLINE, 0
        for data in self.files:
            room -= len(data) * 4 // 3
            if room < 0:
                break
            count += 1
        return count

    def outside(self) -> dict[str, bytes]:
        """Name to bytes of those that lie beside the page."""
        return {f"sheet-{n:03d}.jpg": data for n, data in enumerate(self.files) if n >= self.inlined()}

    def style(self, folder: str) -> Markup:
        """A rule for each sheet."""
        inlined, rules = self.inlined(), []
        for number, data in enumerate(self.files):
            inside = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            address = inside if number < inlined else f"{folder}/sheet-{number:03d}.jpg"
            rules.append(f".s{number}{{background-image:url({address})}}\n")
        return Markup("".join(rules))

    def html(self, name: str, words: str) -> Markup:
        """A cell as an element, or a place that says that there is no picture."""
        number = self.cell(name)
        if number < 0:
            return Markup('<span class="cell none" role="img" aria-label="{}: no picture here"></span>').format(words)
        sheet, x, y = place(number)
        return Markup(
            '<span class="cell s{}" role="img" aria-label="{}" style="background-position:{:.4g}% {:.4g}%"></span>'
        ).format(sheet, words, x, y)


def place(number: int) -> tuple[int, float, float]:
    """The sheet of a cell, and where it lies there, in per cent as `background-position` counts."""
    sheet, inside = divmod(number, COLUMNS * ROWS)
    row, column = divmod(inside, COLUMNS)
    return sheet, 100 * column / (COLUMNS - 1), 100 * row / (ROWS - 1)


def make(pictures: Iterable[tuple[str, bytes]]) -> Sheets:
    """Sheets of JPEGs, each at most SIDE pixels wide and high."""
    files: list[bytes] = []
    cells: dict[str, int] = {}
    sheet = None
    for number, (name, data) in enumerate(pictures):
        inside = number % (COLUMNS * ROWS)
        if inside == 0:
            files += [_encoded(sheet)] if sheet is not None else []
            sheet = Image.new("RGB", (COLUMNS * SIDE, ROWS * SIDE), _GROUND)
        assert sheet is not None
        with Image.open(io.BytesIO(data)) as picture:
            left, top = inside % COLUMNS * SIDE, inside // COLUMNS * SIDE
            sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
        cells[name] = number
    files += [_encoded(sheet)] if sheet is not None else []
    return Sheets(tuple(files), cells)


def _encoded(sheet: Image.Image) -> bytes:
    sink = io.BytesIO()
    sheet.save(sink, "JPEG", quality=72)
    return sink.getvalue()
