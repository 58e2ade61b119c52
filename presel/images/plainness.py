"""Whether a file shows what was instructed to somebody who just opens it.

Most trainers read `Image.open(path).convert("RGB")`: nothing is turned upright, no profile is applied, what alpha hid comes
back, and 16-bit greys turn white. Of such a file the annotator and the trainer see two pictures.
"""

from __future__ import annotations

import io

import numpy as np

from presel.images.colour import orientation, srgb_already
from presel.images.decoding import Bounds, Limits, open_picture
from presel.images.formats import SUPPORTED, sniff
from presel.images.markers import frame
from presel.images.pillow import Image
from presel.images.rejected import Rejected

_ANY = Bounds(1 << 30, 1, 1 << 30)
_DCT = frozenset({0xC0, 0xC1, 0xC2})
_LEVELS = 3
"""By which two decoders of one picture may differ."""


def is_plain(data: bytes, limits: Limits = _ANY) -> bool:
    """Whether `Image.open(...).convert("RGB")` of a usable picture is what `decode` gives, within three levels.

    A look at the header tells it of an ordinary JPEG; others are decoded both ways. False where either way fails.
    """
    kind = sniff(data)
    if kind not in SUPPORTED:
        return False
    try:
        with Image.open(io.BytesIO(data)) as plainly:
            if kind == "JPEG" and _says_it_all(plainly, data):
                return True
            shown = np.asarray(plainly.convert("RGB"))
    except Exception:  # whatever it is, a trainer stumbles over it, too
        return False
    meant = open_picture(data, limits)
    if isinstance(meant, Rejected) or (meant.height, meant.width) != shown.shape[:2]:
        return False
    return bool(np.abs(np.asarray(meant.image, np.int16) - shown).max() <= _LEVELS)


def _says_it_all(opened: Image.Image, data: bytes) -> bool:
    """A JPEG of greys or YCbCr, upright, without a profile that does something."""
    found = frame(data)
    return (
        found is not None
        and found.coding in _DCT
        and opened.mode in ("RGB", "L")
        and srgb_already(opened)
        and orientation(opened) is None
    )
