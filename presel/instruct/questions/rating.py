"""Ratings in place of a yes or no: the model is shown the picture and the turns, and rates each turn from 1 to 5.

A request like the judge's (judging.py): same ledger, same money, one follow-up where the answer is unusable, and nothing is
paid twice. What nobody has usably rated stays, without ratings: that is the judge's failure, not the instruction's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from presel.images.reasons import Reason
from presel.instruct.ledger import Answer
from presel.instruct.questions.judging import about
from presel.instruct.questions.parsing import QUOTED, Problem, said_by, text_of
from presel.instruct.questions.request import Request
from presel.instruct.words import mended
from presel.tables.ratings import BEST, RESPECTS, WORST, Rating
from presel.tables.turn import Turn

RATE = "rate"
"""What stands in `judge` in place of criteria."""
_ONE: dict[str, Any] = {"type": "integer", "enum": list(range(WORST, BEST + 1))}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ratings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(RESPECTS, _ONE),
                "required": list(RESPECTS),
                "additionalProperties": False,
            },
        }
    },
    "required": ["ratings"],
    "additionalProperties": False,
}
_SYSTEM = (
    "You rate training data for a vision-language assistant. You see one image, and questions with responses that \
somebody wrote about it. Rate each of them, in their order, from 1 (bad) to 5 (good) in four respects:\n"
    + "\n".join(f"- {name}: {meaning}" for name, meaning in RESPECTS.items())
)

Ratings = tuple[Rating, ...]


def rate(opening: Request, turns: Sequence[Turn], answers: Sequence[Answer]) -> Request | Ratings:
    """The next request for ratings, or what `answers` come to: a rating for each turn, or none at all."""
    request = about(opening, turns, _SYSTEM, SCHEMA)
    for number, answer in enumerate(answers):
        found = _ratings(answer, len(turns))
        if found or answer.status != 200 or number > 0:
            return found
        request = request.again(text_of(answer)[:QUOTED], f"it does not rate {len(turns)} turns from 1 to 5")
    return request


def too_bad(ratings: Ratings, below: int | None) -> Problem | None:
    """Why rated turns are refused; None where they are not. `below`: the least that any respect may have."""
    found = [(value, name) for rating in ratings for name, value in rating.items()]
    least = min(found, default=None)
    if below is None or least is None or least[0] >= below:
        return None
    return Problem(Reason.JUDGED_UNFIT, f"{least[1]} is rated {least[0]}, below {below}")


def _ratings(answer: Answer, turns: int) -> Ratings:
    if answer.status != 200:
        return ()
    found = mended(said_by(answer))
    rows = found.get("ratings") if isinstance(found, Mapping) else found
    if not isinstance(rows, list) or len(rows) < turns:
        return ()
    ratings = [_rating(row) for row in rows[:turns]]
    return () if None in ratings else tuple(rating for rating in ratings if rating is not None)


def _rating(row: Any) -> Rating | None:
    if not isinstance(row, Mapping):
        return None
    values = {name: row.get(name) for name in RESPECTS}
    whole = all(
        isinstance(value, int | float) and not isinstance(value, bool) and value in _ONE["enum"]
        for value in values.values()
    )
    return {name: int(value) for name, value in values.items()} if whole else None  # type: ignore[arg-type]
