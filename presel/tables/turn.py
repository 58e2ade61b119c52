"""One question about an image and its response: what is parsed, scored and published."""

from __future__ import annotations

from typing import NamedTuple


class Turn(NamedTuple):
    """One question about the image and its response."""

    question: str
    response: str
