"""A picture as trainers take it: upright 8-bit sRGB, JPEG or PNG, without anything hidden.

Trainers open files with `convert("RGB")`, which turns nothing upright, shows what alpha hid, and
makes 16 bits white; some open no BMP and no TIFF. So what the annotator saw is written out. A JPEG
that already is that picture, and a PNG, keep their bytes: most of a pool then costs a look at a
header, and loses nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from presel.images import Rejected
from presel.images.decoding import Bounds, open_picture
from presel.images.pillow import Image
from presel.images.plainness import says_it_all

VERSION = 1
"""Raise it when the same original gives other bytes."""
_ANY = Bounds(1 << 30, 1, 1 << 30)
"""What a version holds was admitted when it was embedded."""


@dataclass(frozen=True)
class Writing:
    """How pictures are written: `longest` side in pixels, `jpeg` quality in place of PNG; `only` one extension."""

    longest: int | None = None
    jpeg: int | None = None
    only: str | None = None

    @property
    def spec(self) -> str:
        """Names what the bytes of a picture depend on beside its original."""
        parts = [f"v{VERSION}", self.longest and f"longest{self.longest}", self.jpeg and f"jpeg{self.jpeg}", self.only]
        return "-".join(str(part) for part in parts if part)


def written(data: bytes, how: Writing) -> tuple[str, bytes] | Rejected:
    """Extension and bytes of the picture in these bytes, or why there is none."""
    kept = _kept(data, how)
    if kept is not None:
        return kept, data
    opened = open_picture(data, _ANY, longer=how.longest)
    if isinstance(opened, Rejected):
        return opened
    image = _plain(_shrunk(opened.image, how.longest))
    return ("jpg", _encoded(image, "JPEG", how.jpeg)) if how.jpeg else ("png", _encoded(image, "PNG", None))


def _kept(data: bytes, how: Writing) -> str | None:
    """The extension under which the original may stay as it is."""
    if data.startswith(b"\xff\xd8\xff"):
        extension = "jpg"
    elif data.startswith(b"\x89PNG") and not how.jpeg:
        extension = "png"
    else:
        return None
    if how.only not in (None, extension):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            small = how.longest is None or max(image.size) <= how.longest
            return extension if small and image.mode == "RGB" and says_it_all(image, data) else None
    except Exception:  # a header that Pillow does not like: decoding will say what is wrong
        return None


def _shrunk(image: Image.Image, longest: int | None) -> Image.Image:
    longer = max(image.size)
    if longest is None or longer <= longest:
        return image
    width, height = (max(1, round(length * longest / longer)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _plain(image: Image.Image) -> Image.Image:
    """A fresh picture carries no EXIF, profile or comment that Pillow would copy along."""
    plain = Image.new("RGB", image.size)
    plain.paste(image)
    return plain


def _encoded(image: Image.Image, format: str, quality: int | None) -> bytes:
    sink = io.BytesIO()
    options = {"quality": quality} if quality else {"compress_level": 1}  # 6 takes four times as long for 5 % less
    image.save(sink, format, **options)
    return sink.getvalue()
