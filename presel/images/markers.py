"""A JPEG taken apart at its markers, without decoding anything."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

# In entropy-coded data a 0xFF is followed by 0x00 (stuffing), a restart marker or fill; anything else is a real marker.
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7\x01]", re.DOTALL)
FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


class Frame(NamedTuple):
    """What the first frame header says. `coding` is the second byte of its marker: 0xC0 baseline, 0xC2 progressive, ..."""

    coding: int
    precision: int
    components: int


def frame(data: bytes) -> Frame | None:
    """None when there is no frame header."""
    position = 2
    while found := MARKER.search(data, position):
        marker, start = data[found.start() + 1], found.end()
        if marker == 0xD8:  # a second start of the image has no length
            position = start
            continue
        if marker in (0xD9, 0xDA) or start + 8 > len(data):
            return None
        if marker in FRAMES:
            return Frame(marker, data[start + 2], data[start + 7])
        position = start + max(2, struct.unpack_from(">H", data, start)[0])
    return None


def end(data: bytes) -> int | None:
    """Where the (first) picture ends: a preview, a second picture or a film may follow. None when it does not."""
    position = 2
    while found := MARKER.search(data, position):
        marker, start = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return start
        if marker == 0xD8:
            position = start
            continue
        if start + 2 > len(data):
            break
        position = start + max(2, struct.unpack_from(">H", data, start)[0])
    return None
