"""What stands in place of pixels when there are none."""

from __future__ import annotations

from dataclasses import dataclass

from presel.images.reasons import Reason


@dataclass(frozen=True)
class Rejected:
    """An image that cannot be used, in place of its pixels."""

    reason: Reason
    detail: str = ""


class Broken(Exception):
    """The file does not hold the picture it announces. Never leaves `presel.images`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)
