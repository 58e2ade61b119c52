"""What was announced is not exceeded without asking: the upper price of the images that stages have come to instruct.

A cap is the store's and may be far away. A stage says before it begins what its images cost at most (bounds.py); answers that
cannot be used, asked again and handed on from seat to seat, could cost many times that. So whatever is bought is set against
what was announced, its reservation before it is sent and its bill after. What is reached is an error that a person reads; the
next run is announced anew. Bills are far below their upper bounds, so nobody meets this whose answers can mostly be used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from presel.errors import BudgetExceeded

_ROUNDING = 1e-9


class Allowance:
    """The announced price of one engine's stages, in US dollars. Lives in the engine's loop."""

    def __init__(self) -> None:
        self.announced = self.spent = self.held = 0.0
        self._images = 0

    def announce(self, images: int, at_most: float, room: float) -> None:
        """A stage begins: so many images, and their upper price. `room`: for asking again, once for all stages together."""
        self.announced += at_most + (0.0 if self._images else room)
        self._images += images

    def affordable(self, wanted: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
        """The first of the wanted requests (key, upper price) that fit into the announced price.

        If nothing was announced, only the cap limits them. Raises BudgetExceeded when none fits and no bill is out that may be
        lower than its upper price.
        """
        if not self._images:
            return wanted
        room, count = self.announced + _ROUNDING - self.spent - self.held, 0
        while count < len(wanted) and wanted[count][1] <= room:
            room, count = room - wanted[count][1], count + 1
        if not count and self.held <= _ROUNDING:
            raise self._reached()
        return wanted[:count]

    def hold(self, usd: float) -> None:
        """A request may be sent: its upper price."""
        self.held += usd

    def settle(self, held: float, spent: float) -> None:
        """It has ended: `spent` is its bill, and what a try without an answer may have cost."""
        self.held = max(0.0, self.held - held)
        self.spent += spent

    def _reached(self) -> BudgetExceeded:
        cents = math.ceil(10_000 * self.announced) / 10_000
        return BudgetExceeded(
            "the next request could cost more than was announced for these images",
            where="generator",
            expected=f"at most {cents:.4f} USD for {self._images:,} images",
            got=f"{self.spent:.4f} USD spent on them in this run",
            fix="look at what came back (`presel ledger ls --long`): answers that cannot be used are paid for, too; every "
            "answer is kept, and to run again is to allow as much once more",
        )
