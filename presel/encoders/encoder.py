"""What the pipeline asks of a model that says which images are alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


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

    def prepare(self, image: Image.Image | NDArray[np.uint8]) -> NDArray[Any]:
        """One upright RGB picture, (height, width, 3), as `encode` wants it. Work for one core; many threads do it at once."""

    def encode(self, batch: list[NDArray[Any]]) -> NDArray[np.float32]:
        """(n, dimensions) float32, not normalised, in the order of the batch. Does not depend on how a pool is batched."""
