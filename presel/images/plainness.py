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
from presel.images.pillow import Image, ImageChops
from presel.images.rejected import Rejected

_ANY = Bounds(1 << 30, 1, 1 << 30)
_DCT = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive Huffman coding: what every JPEG decoder reads."""
_ENDS = (b"\xff\xd9", b"IEND\xaeB`\x82")
_LEVELS = 3
"""By which two decoders of one picture may differ."""


def is_plain(data: bytes, limits: Limits = _ANY) -> bool:
    """Whether `Image.open(...).convert("RGB")` of a usable picture is what `decode` gives, within three levels.

    A look at the header tells it of most JPEGs and PNGs; others are decoded both ways. False where either way fails.
    """
    kind = sniff(data)
    if kind not in SUPPORTED:
        return False
    try:
        with Image.open(io.BytesIO(data)) as plainly:
            if data.endswith(_ENDS) and says_it_all(plainly, data):
                return True
            shown = plainly.convert("RGB")
    except Exception:  # whatever it is, a trainer stumbles over it, too
        return False
    meant = open_picture(data, limits)
    if isinstance(meant, Rejected) or meant.image.size != shown.size:
        return False
    return bool(np.asarray(ImageChops.difference(meant.image, shown)).max() <= _LEVELS)


def says_it_all(opened: Image.Image, data: bytes) -> bool:
    """Whether the header of a JPEG or PNG shows it to be upright 8-bit sRGB or grey, with nothing hidden."""
    if data.startswith(b"\xff\xd8\xff"):
        told = _plain_jpeg(opened, data)
    else:
        told = data.startswith(b"\x89PNG") and _plain_png(opened, data)
    return told and srgb_already(opened)


def _plain_jpeg(opened: Image.Image, data: bytes) -> bool:
    """Greys or YCbCr, coded as every decoder reads it."""
    found = frame(data)
    return (
        found is not None
        and found.coding in _DCT
        and opened.mode in ("RGB", "L")
        and opened.info.get("adobe_transform") in (None, 1)
        and orientation(opened) is None
    )


def _plain_png(opened: Image.Image, data: bytes) -> bool:
    """8 bits, colour type 2, and no chunk that says otherwise: transparency, orientation, frames."""
    told = any(chunk in data for chunk in (b"tRNS", b"eXIf", b"acTL"))
    return opened.mode == "RGB" and data[24:26] == b"\x08\x02" and not told
