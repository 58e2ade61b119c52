"""What the pipeline asks of a model that says which images are alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from presel.images.pillow import Image

Pixels = Image.Image | NDArray[np.uint8]
"""A picture, or its pixels (height, width, 3)."""


class Encoder(Protocol):
    """Pictures to vectors. Instances are shared by threads of one process; `prepare` may be called from many at once."""

    identity: str
    """Everything that decides a vector: name, digest of the weights, preprocessing. It goes into the key."""
    dimensions: int
    """Length of a vector."""
    side: int | None = None
    """Pixels of the shorter side that `prepare` shrinks to; a JPEG is then decoded no larger than it must be."""
    preparation: str | None = None
    """`module:function` that does what `prepare` does, where numpy and Pillow are all it takes: a decoding process runs it
    (`presel.images.child`). None: the process hands over the pixels, and `prepare` is called here."""

    def prepare(self, image: Pixels, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """One upright RGB picture as `encode` wants it. Work for one core; many threads do it at once.

        `size`: width and height of the original, where the picture was scaled while it was decoded. What is left to do follows
        from them: a size rounded twice moves the crop by half a pixel, which cost a cosine of 0.003.
        """

    def encode(self, batch: list[NDArray[Any]]) -> NDArray[np.float32]:
        """(n, dimensions) float32, not normalised, in the order of the batch. Does not depend on how a pool is batched."""
