"""A picture as somebody holds it (opened, a path, bytes, an array) to the upright RGB picture that the pipeline works on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from presel.config import ImageConfig
from presel.errors import InputError, require
from presel.images import Rejected

if TYPE_CHECKING:
    from PIL import Image


def picture(value: Any, where: str) -> Image.Image | Rejected:
    """Upright 8-bit RGB, or why not. A record's picture is asked for. Raises InputError for what is no picture at all."""
    require("images", "scoring pictures")
    from PIL import Image

    from presel.images.colour import upright
    from presel.images.decoders import opened

    if isinstance(value, Image.Image):
        return upright(value)
    if callable(value):  # `Record.image`
        return value()  # type: ignore[no-any-return]
    if isinstance(value, bytes | bytearray | memoryview):
        return opened(bytes(value), ImageConfig(), "")
    if isinstance(value, str | os.PathLike):
        return opened(_read(Path(value), where), ImageConfig(), str(value))
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3:
        return Image.fromarray(value)
    expected = "a PIL picture, a path, bytes or uint8[h, w, 3]"
    got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
    raise InputError("this is no picture", where=where, expected=expected, got=got)


def _read(path: Path, where: str) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise InputError("the picture cannot be read", where=where, got=f"{path}: {error.strerror}") from error
