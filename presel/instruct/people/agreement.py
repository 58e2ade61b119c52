"""How alike people write, and people and the API: read off the ledger, for pictures that have more than one answer.

Alike is measured plainly: the share of pictures whose responses are the same words, and how much the words of the responses
overlap (the harmonic mean of the two shares of common words). Nothing is corrected for chance, and two different questions may
have two right responses: low agreement is a reason to look, not a verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from presel.instruct.ledger import Answer, Ledger
from presel.instruct.questions.dialogue import Instruction, settled
from presel.instruct.questions.request import PEOPLE, Request
from presel.tables.turn import Turn

Turns = tuple[Turn, ...]


def agreement(ledger: Ledger) -> list[dict[str, Any]]:
    """A row for each task and each kind of pair: `pictures`, `same` and `overlap` (both from 0 to 1). Reads every answer."""
    people: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    api: dict[tuple[str, str], Answer] = {}
    for answer in ledger.answers():
        request = Request.of(answer.request)
        asked = request.content, _words(request)
        if request.model == PEOPLE:
            people[asked].append(answer)
        elif _turns(answer):
            api.setdefault(asked, answer)
    found: dict[tuple[str, str], list[tuple[Turns, Turns]]] = defaultdict(list)
    for asked, answers in people.items():
        said = [turns for answer in answers if (turns := _turns(answer))]
        task = str(answers[0].body.get("people", {}).get("task", ""))
        found[task, "two people"] += list(combinations(said, 2))
        found[task, "API and people"] += [(_turns(api[asked]), said[0])] if asked in api and said else []
    return [_row(task, pair, pairs) for (task, pair), pairs in sorted(found.items()) if pairs]


def _row(task: str, pair: str, pairs: Sequence[tuple[Turns, Turns]]) -> dict[str, Any]:
    overlaps = [_overlap(one, other) for one, other in pairs]
    same = float(np.mean([overlap == 1.0 for overlap in overlaps]))
    return {"task": task, "pair": pair, "pictures": len(pairs), "same": same, "overlap": float(np.mean(overlaps))}


def _turns(answer: Answer) -> Turns:
    found = settled(Request.of(answer.request), answer, 1)
    return found.turns if isinstance(found, Instruction) else ()


def _words(request: Request) -> str:
    """What is asked, the same for every person; a follow-up asks the same."""
    parts = request.messages[1]["content"]
    text = next((part["text"] for part in parts if part.get("type") == "text"), "") if isinstance(parts, list) else ""
    return f"{request.messages[0]['content']}\n{text}"


def _overlap(one: Turns, other: Turns) -> float:
    """Of the words of all responses: 1 where they are the same."""
    first, second = (Counter(" ".join(turn.response for turn in turns).casefold().split()) for turns in (one, other))
    common = (first & second).total()
    return 2 * common / (first.total() + second.total()) if common else 0.0
