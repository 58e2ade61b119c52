"""Formats that a few pools need and most do not: HEIC, JPEG XL and DICOM, read where `presel[formats]` is installed.

They are decoded like all others, in a process that may die of it. If several machines share a store, install the extra on all
of them, so that every machine can read the same pictures.
"""

from __future__ import annotations

import importlib
import io
from importlib.util import find_spec
from typing import Any

import numpy as np

from presel.images.pillow import Image, ImageFile
from presel.images.reasons import Reason
from presel.images.rejected import Broken

_PACKAGES = {"HEIF": "pillow_heif", "JPEG XL": "pillow_jxl", "DICOM": "pydicom"}


def is_readable(kind: str) -> bool:
    """Whether the package that reads this format is here."""
    return kind in _PACKAGES and find_spec(_PACKAGES[kind]) is not None


def opened(kind: str, data: bytes) -> ImageFile:
    """HEIF and JPEG XL, as Pillow opens pictures."""
    package: Any = importlib.import_module(_PACKAGES[kind])
    if kind == "HEIF":
        package.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=["HEIF" if kind == "HEIF" else "JXL"])


class Dicom:
    """The first frame of a DICOM file. Raises Broken when it has no pixels."""

    def __init__(self, data: bytes) -> None:
        import pydicom

        self._set = pydicom.dcmread(io.BytesIO(data))
        rows, columns = self._set.get("Rows"), self._set.get("Columns")
        if not rows or not columns:
            raise Broken(Reason.UNDECODABLE, "DICOM: it holds no picture")
        self.size = int(columns), int(rows)

    def picture(self) -> Image.Image:
        """What its window, if any, lets through, scaled to its own range; MONOCHROME1 is black where it is large."""
        pixels: Any = importlib.import_module("pydicom.pixels")
        try:
            values = pixels.pixel_array(self._set, index=0)
        except (NotImplementedError, RuntimeError) as error:  # a transfer syntax that needs further packages
            raise Broken(Reason.UNDECODABLE, f"DICOM: {str(error).partition(chr(10))[0]}"[:300]) from None
        if values.ndim == 3:
            return Image.fromarray(_eight_bits(values, int(self._set.BitsStored)), "RGB")
        meant = pixels.apply_voi_lut(pixels.apply_modality_lut(values, self._set), self._set).astype(np.float64)
        low, high = float(meant.min()), float(meant.max())
        shown = (meant - low) * (255 / max(high - low, 1e-300))
        if self._set.get("PhotometricInterpretation") == "MONOCHROME1":
            shown = 255 - shown
        return Image.fromarray(np.rint(shown).astype(np.uint8))


def _eight_bits(values: Any, stored: int) -> Any:
    return np.ascontiguousarray(values >> max(stored - 8, 0)).astype(np.uint8)
