"""From a raw answer to turns, or to the reason why not. Pure: run it again on the ledger whenever it got better.

An answer costs what a thousand parsings do not, so everything that can be mended here is mended here: text around the JSON,
fences, trailing commas, single quotes, a missing bracket (json-repair), a bare list of turns, answers that name
their fields in capitals. What cannot be mended is asked again once, with the reason; what the provider refused is
not asked again at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from presel.images.reasons import Reason
from presel.instruct.completion import cut, ending, message_of, spoken, words_of
from presel.instruct.ledger import Answer
from presel.instruct.questions.schemas import SCHEMA, Schema, is_own, violation
from presel.instruct.words import LONGEST_REPAIR, mended, printable, written
from presel.tables.turn import Turn


@dataclass(frozen=True)
class Problem:
    """Why an answer gives no turns. `remedy`: what may be done about it, once."""

    reason: Reason
    detail: str
    remedy: str = "none"
    """none | longer (ask with more room) | again (ask with the problem named)"""


Turns = tuple[Turn, ...]


def read(answer: Answer, turns: int, schema: Schema = SCHEMA) -> Turns | Problem:
    """The turns of an answer that should hold `turns` of them and fit `schema`."""
    if answer.status != 200:
        return Problem(Reason.DECLINED, _error_text(answer.body))
    end, refusal = ending(answer.body), message_of(answer.body).get("refusal")
    if end == "filter":
        return Problem(Reason.CONTENT_FILTER, "the provider's filter stopped the answer")
    if refusal:
        return Problem(Reason.REFUSED, printable(str(refusal))[:300])
    text = said_by(answer)
    if end == "length" and cut(text, end):
        return Problem(Reason.LENGTH, f"cut at {answer.output_tokens} tokens", "longer")
    if len(text) <= LONGEST_REPAIR and cut(text, end):
        return Problem(Reason.LENGTH, "it stops in the middle", "again")
    found = _turns(text, schema)
    return found if isinstance(found, Problem) else _checked(found, turns)


def _checked(found: Turns, turns: int) -> Turns | Problem:
    if len(found) < turns:
        return Problem(Reason.TURNS, f"it has {len(found)} turns, {turns} were asked for", "again")
    wanted = found[:turns]  # later turns may build on earlier ones, never the reverse: what is too much can be left out
    return next((problem for check in CHECKS if (problem := check(wanted))), wanted)


def text_of(answer: Answer) -> str:
    """The words of the first choice as they came: what a follow-up quotes, and so part of its key."""
    return words_of(answer.body)


def said_by(answer: Answer) -> str:
    """The same without the thoughts before them."""
    return spoken(words_of(answer.body))


def _turns(text: str, schema: Schema) -> Turns | Problem:
    if not text.strip():
        return Problem(Reason.EMPTY, "the answer is empty", "again")
    if refusal := _REFUSAL.match(text):
        return Problem(Reason.REFUSED, printable(refusal.string)[:300])
    document = mended(text)
    items = _items(document)
    if not items:
        return Problem(Reason.INVALID_JSON, "no JSON with `turns` was found in it", "again")
    if is_own(schema):
        whole = document if isinstance(document, Mapping) and "turns" in document else {"turns": items}
        if broken := violation(whole, schema):
            return Problem(Reason.SCHEMA, printable(broken), "again")
    turns = [_turn(item, structured=is_own(schema)) for item in items]
    if None in turns:
        return Problem(Reason.SCHEMA, "a turn lacks `question` or `response`", "again")
    return tuple(turn for turn in turns if turn is not None)


def _items(document: Any) -> list[Any]:
    """The list of turns, wherever a careless model put it."""
    if isinstance(document, list):
        nested = [item for item in document if isinstance(item, Mapping) and "turns" in item]
        return _items(nested[0]) if nested else document
    if isinstance(document, Mapping):
        inner = {str(name).lower(): value for name, value in document.items()}
        if isinstance(inner.get("turns"), list):
            return list(inner["turns"])
        return [document] if {"question", "response"} <= set(inner) else []
    return []


def _turn(item: Any, structured: bool) -> Turn | None:
    """`structured`: a response may be more than words, and is then kept as JSON."""
    if not isinstance(item, Mapping):
        return None
    fields = {str(name).lower(): value for name, value in item.items()}
    question, response = fields.get("question"), fields.get("response")
    if isinstance(response, Mapping | list) and structured:
        response = written(response)
    if not isinstance(question, str) or isinstance(response, Mapping | list) or response is None:
        return None
    return Turn(printable(question).strip(), printable(str(response)).strip())


# --- what turns must satisfy, each check on its own ---------------------------------------------------------------------

MAX_CHARACTERS = 20_000
QUOTED = 20_000
"""Characters of an unusable answer that go back with the follow-up: a server may have ignored the limit on its length."""
_REFUSAL = re.compile(
    r"\s*(?:i['’]?m sorry,? (?:but )?(?:i|this)|i (?:can['’]?t|cannot|am unable to|am not able to|won['’]?t) "
    r"(?:help|assist|comply|identify|provide|describe|answer)|as an ai\b|sorry, (?:but )?i can)",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"<\s*/?\s*(?:image|img|im_start|im_end|video)\b[^>]*>|\[image\]", re.IGNORECASE)


def nothing_empty(found: Turns) -> Problem | None:
    if all(turn.question and turn.response for turn in found):
        return None
    return Problem(Reason.EMPTY, "a question or a response is empty", "again")


def no_refusal(found: Turns) -> Problem | None:
    refusal = next((turn.response for turn in found if _REFUSAL.match(turn.response)), None)
    return Problem(Reason.REFUSED, refusal[:300]) if refusal else None


def no_placeholder(found: Turns) -> Problem | None:
    leaked = any(_PLACEHOLDER.search(turn.question + "\n" + turn.response) for turn in found)
    return Problem(Reason.PLACEHOLDER, "it holds an image placeholder such as <image>", "again") if leaked else None


def not_too_long(found: Turns) -> Problem | None:
    longest = max(len(turn.question) + len(turn.response) for turn in found)
    return Problem(Reason.TOO_LONG, f"a turn has {longest} characters", "again") if longest > MAX_CHARACTERS else None


def alternating(found: Turns) -> Problem | None:
    """A question is asked once, and a response is not its question said back."""
    questions = {turn.question.casefold() for turn in found}
    echoed = any(turn.question.casefold() == turn.response.casefold() for turn in found)
    if len(questions) == len(found) and not echoed:
        return None
    return Problem(Reason.ALTERNATION, "a question is repeated, or a response repeats its question", "again")


CHECKS: tuple[Callable[[Turns], Problem | None], ...] = (
    nothing_empty,
    no_refusal,
    no_placeholder,
    not_too_long,
    alternating,
)


def _error_text(body: Mapping[str, Any]) -> str:
    error = body.get("error")
    message = error.get("message") if isinstance(error, Mapping) else error
    return printable(str(message or "the provider gave no reason"))[:300]
