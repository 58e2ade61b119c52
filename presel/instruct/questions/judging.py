"""A second opinion: the model is shown the picture and the turns, and says whether they meet the criteria.

It is a request like any other: same ledger, same money, same follow-up when its answer is unusable, and a key of its own
that covers turns and criteria. So a rerun pays nothing, and changed criteria ask the judge again but not the annotator.
What is judged unfit is a reject, `judged_unfit`, and its seat goes on; so is what the judge has no usable word on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from presel.images.reasons import Reason
from presel.instruct.ledger import Answer
from presel.instruct.questions.parsing import QUOTED, Problem, said_by, text_of
from presel.instruct.questions.request import Request
from presel.instruct.words import mended, printable
from presel.tables.turn import Turn

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "fit": {"type": "boolean"}},
    "required": ["reason", "fit"],
    "additionalProperties": False,
}
"""The reason comes first: a model that must give one decides after it has thought."""

_SYSTEM = """\
You check training data for a vision-language assistant. You see one image, and questions with responses that somebody wrote \
about it. Say whether every one of them meets these criteria, and why:
"""


def judge(
    opening: Request, turns: Sequence[Turn], criteria: str, answers: Sequence[Answer]
) -> Request | Problem | None:
    """The next request to the judge, or its verdict after `answers`: a problem, or None when the turns are fit."""
    request = about(opening, turns, _SYSTEM + criteria, SCHEMA)
    for number, answer in enumerate(answers):
        fit, reason = _verdict(answer)
        if fit is not None:
            return None if fit else Problem(Reason.JUDGED_UNFIT, reason)
        if answer.status != 200 or number > 0:
            return Problem(Reason.JUDGED_UNFIT, "the judge gave no usable word")
        request = request.again(text_of(answer)[:QUOTED], "it does not say `fit`: true or false")
    return request


def about(opening: Request, turns: Sequence[Turn], system: str, schema: Mapping[str, Any]) -> Request:
    """A question about turns, shown with their picture."""
    picture = next(part for part in opening.messages[1]["content"] if part["type"] == "image_url")
    written = json.dumps([{"question": t.question, "response": t.response} for t in turns], ensure_ascii=False)
    messages = (
        {"role": "system", "content": system},
        {"role": "user", "content": [{"type": "text", "text": written}, picture]},
    )
    return replace(opening, messages=messages, schema=schema)


def _verdict(answer: Answer) -> tuple[bool | None, str]:
    if answer.status != 200:
        return None, ""
    found = mended(said_by(answer))
    if not isinstance(found, Mapping) or not isinstance(found.get("fit"), bool):
        return None, ""
    return bool(found["fit"]), printable(str(found.get("reason") or "no reason given"))[:300]
