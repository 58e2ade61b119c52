"""One picture written in the ways that break careless readers: odd modes, odd shapes, broken bytes.

Everything here is a function from a picture (RGB) to the bytes of a file, and gives the same bytes every time.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from presel.demo.drawing.encode import to_bytes


def jpeg(image: Image.Image) -> bytes:
    return to_bytes(image, "jpg")


def png(image: Image.Image) -> bytes:
    return to_bytes(image, "png")


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 5]


def variant(number: int) -> Callable[[Image.Image], bytes]:
    """The picture slightly resized, brightened and compressed anew; 0 is the original."""

    def write(image: Image.Image) -> bytes:
        scale, gain = 1 - 0.008 * (number % 7), 1 + 0.012 * (number % 5 - 2)
        size = (round(image.width * scale), round(image.height * scale))
        varied = image if number == 0 else image.resize(size, Image.Resampling.BICUBIC)
        varied = varied if number == 0 else ImageEnhance.Brightness(varied).enhance(gain)
        return to_bytes(varied, "jpg", 95 - number % 6 * 5)

    return write


def sideways(image: Image.Image) -> bytes:
    """Stored lying on its side; EXIF orientation 6 says to turn it clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=88, exif=exif)


def deep_grey(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return _saved(Image.fromarray(grey), "PNG", compress_level=3)


def round_corners(image: Image.Image) -> bytes:
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), image.width // 12, fill=255)
    image.putalpha(mask)
    return png(image)


def clear_ground(image: Image.Image) -> bytes:
    """A palette picture whose ground (the colour of the upper left corner) is transparent."""
    indexed = image.quantize(128, dither=Image.Dither.NONE)
    return _saved(indexed, "PNG", compress_level=3, transparency=indexed.getpixel((0, 0)))


def gif(image: Image.Image) -> bytes:
    return _saved(image.quantize(128), "GIF")


def blinking_gif(image: Image.Image) -> bytes:
    """Three frames; the later ones are black, so what is true of it holds for the first frame only."""
    black = Image.new("RGB", image.size)
    later = [black.quantize(2), image.quantize(128).point(lambda _: 0)]
    return _saved(image.quantize(128), "GIF", save_all=True, append_images=later, duration=400, loop=0)


def bomb() -> bytes:
    """A bilevel PNG of 20,000 x 20,000 white pixels: 76 kB here, 1.2 GB as RGB. Written by hand, a block of rows at a time."""
    side, rows = 20_000, 500
    squeeze = zlib.compressobj(9)
    block = (b"\0" + b"\xff" * (side // 8)) * rows
    packed = b"".join(squeeze.compress(block) for _ in range(side // rows)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def resized(width: int, height: int) -> Callable[[Image.Image], bytes]:
    return lambda image: png(image.resize((width, height)))


def grey(image: Image.Image) -> bytes:
    return jpeg(image.convert("L"))


def cmyk(image: Image.Image) -> bytes:
    return jpeg(image.convert("CMYK"))


def progressive(image: Image.Image) -> bytes:
    return _saved(image, "JPEG", quality=80, progressive=True)


def cut_jpeg(image: Image.Image) -> bytes:
    return _cut(jpeg(image))


def cut_png(image: Image.Image) -> bytes:
    return _cut(png(image))


def padded_jpeg(image: Image.Image) -> bytes:
    """Cut, then filled up with zeros to the announced length, as a broken download leaves it."""
    whole = jpeg(image)
    return _cut(whole).ljust(len(whole), b"\0")


def flipped_png(image: Image.Image) -> bytes:
    """The first 16 bytes of pixel data inverted: the structure is whole, the content is not."""
    data = png(image)
    start = data.index(b"IDAT") + 4
    return data[:start] + bytes(255 - byte for byte in data[start : start + 16]) + data[start + 16 :]
