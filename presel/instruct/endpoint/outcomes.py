"""What can come of sending a request: four outcomes, and nothing of the SDK that found them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from presel.images.reasons import Reason


@dataclass(frozen=True)
class Answered:
    """A whole answer, or the provider's final word that it will not answer about this picture (`status` 4xx)."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Throttled:
    """429: ask later. Costs nothing, counts nothing."""

    headers: Mapping[str, str]
    message: str


@dataclass(frozen=True)
class Failed:
    """No answer. `billed`: it may have been paid for all the same."""

    reason: Reason
    message: str
    billed: bool
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Declined:
    """A 4xx that may be about this request alone or about all of them: the engine finds out which."""

    status: int
    message: str
    text: str = ""
    """The whole error body: it may name a parameter that can be sent otherwise."""


Outcome = Answered | Throttled | Failed | Declined
