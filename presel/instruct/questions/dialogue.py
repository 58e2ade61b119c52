"""What follows from an answer: turns, another request, or a reject. A pure function of the answers there are.

At most three requests concern one sample: the first; one with twice the room if it was cut; one that names what was wrong.
Each is determined by the answers before it, so a rerun takes the same way through the ledger and pays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from presel.images.reasons import Reason
from presel.instruct.ledger import Answer
from presel.instruct.questions.languages import certainly_not
from presel.instruct.questions.parsing import QUOTED, Problem, read, text_of
from presel.instruct.questions.request import Request
from presel.tables.ratings import Rating
from presel.tables.turn import Turn


@dataclass(frozen=True)
class Instruction:
    """The turns for one sample, and the key of the answer that gave them."""

    turns: tuple[Turn, ...]
    request: str
    ratings: tuple[Rating, ...] = ()
    """Of each turn, where a judge rates."""


def follow(
    opening: Request, answers: list[Answer], turns: int, language: str | None = None
) -> Request | Instruction | Problem:
    """The next request, or the verdict, after `answers` (in the order they were asked for).

    `language`: that the turns must not certainly be in another one than this.
    """
    request, remedies = opening, {"longer", "again"}
    for answer in answers:
        found = settled(opening, answer, turns, language)
        if isinstance(found, Instruction) or found.remedy not in remedies:
            return found
        remedies.remove(found.remedy)
        request = (
            request.longer() if found.remedy == "longer" else request.again(text_of(answer)[:QUOTED], found.detail)
        )
    return request


def settled(opening: Request, answer: Answer, turns: int, language: str | None = None) -> Instruction | Problem:
    """What one answer comes to by itself, where nobody is asked again."""
    found = _in(language, read(answer, turns, opening.schema))
    return found if isinstance(found, Problem) else Instruction(found, answer.key)


def _in(language: str | None, found: tuple[Turn, ...] | Problem) -> tuple[Turn, ...] | Problem:
    if language is None or isinstance(found, Problem):
        return found
    problem = certainly_not(" ".join(f"{turn.question} {turn.response}" for turn in found), language)
    return Problem(Reason.LANGUAGE, problem, "again") if problem else found
