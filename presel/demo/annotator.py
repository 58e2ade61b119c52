"""The demo's annotator: it answers from what the drawn pictures are known to show.

A real API sees only the picture it was sent, and so does this one: no digest, no name travels with the request. It
finds the picture because `images.for_api` makes the same JPEG from the same image every time: that JPEG's digest is
computed once for every image of the pool (about 2 ms each) while the pool is drawn, and remembered beside the answers.

Which of the questions that are true of a picture it asks is drawn from the picture's digest, so every run gets the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from presel.config import ImageConfig
from presel.config.keys import digest
from presel.demo.drawing.truth import Facts
from presel.demo.endpoint import Annotate
from presel.demo.pool import Answers
from presel.errors import InputError
from presel.images import for_api

_COUNT = re.compile(r"exactly (\d+) questions")
_DESCRIPTIONS = ("asks for a detailed description", "asks for a caption")


def sent_picture(data: bytes, side: int) -> str | None:
    """The digest of the JPEG that an annotator gets to see of an image; None if it is no usable image."""
    try:
        return digest(for_api(data, ImageConfig(), side))
    except InputError:
        return None


def annotator(answers: Answers, pictures: Mapping[str, str]) -> Annotate:
    """Answers from ground truth. `pictures` maps digests of sent JPEGs to digests of the pool's images."""

    def annotate(picture: bytes, words: str, _request: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        seen = digest(picture)
        facts = answers.get(pictures.get(seen, ""))
        if facts is None:
            return [("Which picture is this?", "It is one that was not drawn for the demo.")]
        return _turns(facts, seen, words)

    return annotate


def _turns(facts: Facts, seen: str, words: str) -> list[tuple[str, str]]:
    """As many turns as were asked for, starting anywhere among the questions there are, without repetition."""
    if any(phrase in words for phrase in _DESCRIPTIONS):
        return [("What does the picture show?", facts.caption)]
    found = _COUNT.search(words)
    wanted = int(found[1]) if found else 1
    known = facts.questions
    start = int(seen[:8], 16)
    asked = [known[(start + i) % len(known)] for i in range(min(wanted, len(known)))]
    return [(qa.question, qa.answer) for qa in asked]
