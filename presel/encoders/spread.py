"""One model on several accelerators: a batch goes to whichever of them is idle.

Parts are embedded side by side, each in a thread that hands over one batch at a time, so as many devices are busy as parts
are under way. No part is bound to a device: a slower one simply takes fewer batches. All copies hold the same weights and pad
to the same number of rows, so it does not matter where a picture ends up.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presel.encoders.encoder import Encoder, Pixels


class Spread(Encoder):
    """An `Encoder` around equal ones on different devices. Raises whatever they raise; a device is given back either way."""

    def __init__(self, copies: Sequence[Encoder]) -> None:
        self.identity, self.dimensions = copies[0].identity, copies[0].dimensions
        self.side, self.preparation = copies[0].side, copies[0].preparation
        self._first = copies[0]
        self._idle: SimpleQueue[Encoder] = SimpleQueue()
        for copy in copies:
            self._idle.put(copy)

    def prepare(self, image: Pixels, size: tuple[int, int] | None = None) -> NDArray[Any]:
        return self._first.prepare(image, size)

    def encode(self, batch: list[NDArray[Any]]) -> NDArray[np.float32]:
        copy = self._idle.get()
        try:
            return copy.encode(batch)
        finally:
            self._idle.put(copy)
