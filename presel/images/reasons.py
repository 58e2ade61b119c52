"""Why an image was not used: one reason from this list, and a detail in words.

A pool of a million images always holds some that are not images. Each of them is one row in `rejects`, never an exception
and never a silent gap: for every task, listed = usable + rejected. The list is closed, so that reports can group by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A reason as it stands in `rejects.reason`; `explanation` is the sentence a person reads."""

    explanation: str

    def __new__(cls, value: str, explanation: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    NO_TASK = (
        "no_task",
        "No task is known: the object lies at the root of a source whose folders are tasks, or the mapping does not name it.",
    )
    ARCHIVED = "archived", "The object is in cold storage and must be restored before it can be read."
    UNREADABLE = "unreadable", "The object was listed, but could not be read: it is gone, forbidden, or no plain file."
    CHANGED = "changed", "The object was overwritten between listing and reading; the next refresh sees the new one."
    ZERO_BYTE = "zero_byte", "The object is empty."
    NOT_AN_IMAGE = "not_an_image", "The bytes, or the name, are those of something that is not a picture."
    TRUNCATED = "truncated", "The picture ends before its own structure says it should."
    TOO_MANY_PIXELS = "too_many_pixels", "The header announces more pixels than `max_pixels`; nothing was decoded."
    TOO_SMALL = "too_small", "The shorter side is below `min_side`."
    ASPECT_RATIO = "aspect_ratio", "The longer side is more than `max_aspect_ratio` times the shorter one."
    UNDECODABLE = "undecodable", "It is a picture, but corrupt, or of a format that is not supported."
    NOT_FINITE = "not_finite", "The encoder returned a vector of zeros or one that holds NaN or infinity."
    DUPLICATE = "duplicate", "The same bytes are already a sample of this task under another key."


@dataclass(frozen=True)
class Rejected:
    """An image that cannot be used, in place of its pixels."""

    reason: Reason
    detail: str = ""
