"""What real buckets hold besides good pictures: 72 files, each with the fate a sensible pipeline gives it.

`SALT` is the list to read. Rows are cheap; their bytes are made on demand from the pool's seed, out of pictures of their own
(index 900,000 and up, which no pool reaches), so that salted files look like their task and no drawn image is touched.

`reason` is the reason a file is rejected for, in the words of `presel.images.reasons`, or None when it must be usable. Three
decisions are worth a word. A name that lies (a GIF called .jpg) is no fault: the bytes decide. Where two reasons apply, the
more fundamental one is named: 1 x 4,000 pixels is `too_small` before it is a bad aspect ratio. Of n files with the same bytes
in one task, n - 1 are duplicates; which one stays is the pipeline's choice, so the row says which file it equals (`like`), and
the same bytes under another task are a different sample, not a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from presel.demo.drawing import odd_files as odd
from presel.demo.drawing.tasks import sketch
from presel.demo.drawing.truth import Facts, Picture

FIRST_INDEX = 900_000
CLUMP = 20  # pictures in the near-duplicate clump, its original included


class Made(NamedTuple):
    """The bytes of a salted file and, if it is a readable picture, what is true of it (upright, first frame)."""

    data: bytes
    facts: Facts | None


Maker = Callable[[int], Made]


@dataclass(frozen=True)
class Salted:
    """One odd file of the pool."""

    key: str  # below the pool's root
    make: Maker  # seed -> bytes
    reason: str | None  # why it is rejected; None: usable
    note: str
    like: str | None = None  # the key whose picture this one repeats, exactly ("duplicate") or nearly


def _picture(task: str, number: int, seed: int) -> Picture:
    return sketch(task, FIRST_INDEX + number, seed, longest=480)


def _drawn(task: str, number: int, write: Callable[[Image.Image], bytes]) -> Maker:
    """A good picture of the task, written in some way."""

    def make(seed: int) -> Made:
        picture = _picture(task, number, seed)
        return Made(write(picture.image), picture.facts)

    return make


def _spoiled(task: str, number: int, write: Callable[[Image.Image], bytes]) -> Maker:
    """A picture of the task, written so that it cannot be used: nothing is known about it."""
    return lambda seed: Made(write(_picture(task, number, seed).image), None)


def _fixed(data: bytes) -> Maker:
    """Bytes that do not depend on the seed."""
    return lambda _: Made(data, None)


def _bomb(_: int) -> Made:
    return Made(odd.bomb(), None)


_DS_STORE = b"\0\0\0\1Bud1" + bytes(400)
_APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(80)
_THUMBS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(400)
_HTML = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>\n"
_LONG_NAME = "-".join(["a file whose name somebody generated from its whole description"] * 3) + ".jpg"
_ODD_KEYS = (
    ("scene", "photo de l'été 01.jpg", "spaces, an apostrophe and accents"),
    ("scene", "🌄 morning.jpg", "an emoji"),
    ("scene", "海の写真.jpg", "Japanese"),
    ("count", "items #3.jpg", "a hash, which ends a URL's path"),
    ("photo", "100%20sure.jpg", "an escape that must not be unescaped"),
    ("photo", "a+b & c.jpg", "a plus and an ampersand"),
    ("ocr", "what?.jpg", "a question mark, which starts a URL's query"),
    ("photo", "DSC_0001.JPG", "an extension in capitals"),
    ("clock", "IMG-20190101-WA0007", "no extension"),
    ("texture", _LONG_NAME, "a very long name"),
)

_TWINS = (
    Salted("chart/report.png", _drawn("chart", 0, odd.png), None, "the original of two copies"),
    Salted("chart/report_copy.png", _drawn("chart", 0, odd.png), "duplicate", "same task", "chart/report.png"),
    Salted("chart/report_final.png", _drawn("chart", 0, odd.png), "duplicate", "same task", "chart/report.png"),
    Salted("photo/trip.jpg", _drawn("photo", 0, odd.jpeg), None, "the original of a copy"),
    Salted("photo/trip_copy.png", _drawn("photo", 0, odd.jpeg), "duplicate", "another extension", "photo/trip.jpg"),
    Salted("scene/holiday.jpg", _drawn("scene", 0, odd.jpeg), None, "also lies in another task"),
    Salted("photo/holiday.jpg", _drawn("scene", 0, odd.jpeg), None, "same bytes in another task: its own sample"),
)
_CLUMP = tuple(
    Salted(
        f"scene/burst_{number:02d}.jpg",
        _drawn("scene", 1, odd.variant(number)),
        None,
        "near-duplicate: one of a clump of 20" if number else "the original of a clump of near-duplicates",
        "scene/burst_00.jpg" if number else None,
    )
    for number in range(CLUMP)
)
_NEAR_TWINS = tuple(
    Salted(f"{task}/shot{suffix}.jpg", _drawn(task, 2, odd.variant(number)), None, note, like)
    for task in ("count", "presence", "ocr", "digits", "photo")
    for suffix, number, note, like in (
        ("", 0, "the original of a near-duplicate", None),
        ("_edited", 4, "near-duplicate: resized, brightened, compressed anew", f"{task}/shot.jpg"),
    )
)
_UNUSUAL = (
    Salted("spatial/drawing.jpg", _drawn("spatial", 3, odd.gif), None, "a GIF named .jpg: the bytes decide"),
    Salted("count/blinking.gif", _drawn("count", 4, odd.blinking_gif), None, "animated: the first frame counts"),
    Salted("scene/print.jpg", _drawn("scene", 5, odd.cmyk), None, "CMYK"),
    Salted("digits/scan16.png", _drawn("digits", 6, odd.deep_grey), None, "16-bit grey: to be scaled, not clipped"),
    Salted(
        "clock/sticker.png", _drawn("clock", 7, odd.clear_ground), None, "palette with a transparent colour: on white"
    ),
    Salted("presence/card.png", _drawn("presence", 8, odd.round_corners), None, "RGBA: on white"),
    Salted("ocr/phone.jpg", _drawn("ocr", 9, odd.sideways), None, "EXIF orientation 6: to be turned upright"),
    Salted("photo/web.jpg", _drawn("photo", 10, odd.progressive), None, "progressive"),
    Salted("digits/grey.jpg", _drawn("digits", 11, odd.grey), None, "one channel"),
)
_NAMED_ODDLY = tuple(
    Salted(f"{task}/{name}", _drawn(task, 30 + place, odd.jpeg), None, f"key: {what}")
    for place, (task, name, what) in enumerate(_ODD_KEYS)
)
_BROKEN = (
    Salted("photo/interrupted.jpg", _spoiled("photo", 20, odd.cut_jpeg), "truncated", "the download stopped"),
    Salted("scene/padded.jpg", _spoiled("scene", 21, odd.padded_jpeg), "truncated", "cut, then padded with zeros"),
    Salted("chart/interrupted.png", _spoiled("chart", 22, odd.cut_png), "truncated", "the download stopped"),
    Salted("clock/flipped.png", _spoiled("clock", 23, odd.flipped_png), "undecodable", "corrupt pixel data"),
    Salted("ocr/notes.jpg", _fixed(b"buy milk\nand bread\n"), "not_an_image", "a text file named .jpg"),
    Salted("scene/error.jpg", _fixed(_HTML), "not_an_image", "an HTML error page saved as .jpg"),
    Salted("count/empty.png", _fixed(b""), "zero_byte", "an empty object"),
    Salted("texture/bomb.png", _bomb, "too_many_pixels", "20,000 x 20,000 pixels in 76 kB"),
    Salted("texture/line.png", _spoiled("texture", 24, odd.resized(640, 1)), "too_small", "one pixel high"),
    Salted("texture/thread.png", _spoiled("texture", 25, odd.resized(1, 4000)), "too_small", "1 x 4,000"),
    Salted("chart/banner.png", _spoiled("chart", 26, odd.resized(640, 16)), "aspect_ratio", "40 : 1"),
)
_SIDECARS = (
    Salted("photo/.DS_Store", _fixed(_DS_STORE), "not_an_image", "a Mac folder's view settings"),
    Salted("photo/._DSC_0001.JPG", _fixed(_APPLE_DOUBLE), "not_an_image", "a Mac resource fork"),
    Salted("scene/Thumbs.db", _fixed(_THUMBS), "not_an_image", "a Windows thumbnail cache"),
    Salted("scene/README.txt", _fixed(b"Pictures of landscapes.\n"), "not_an_image", "somebody's notes"),
    Salted("README.txt", _fixed(b"Pictures sorted by task.\n"), "no_task", "notes at the root, outside any task"),
)

SALT: tuple[Salted, ...] = (*_TWINS, *_CLUMP, *_NEAR_TWINS, *_UNUSUAL, *_NAMED_ODDLY, *_BROKEN, *_SIDECARS)
