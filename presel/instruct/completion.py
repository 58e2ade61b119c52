"""A chat completion as servers really send it: what it says, how it ended, and whether it is an answer at all.

Routers put failures of the model behind them into a body with status 200; models think aloud before they answer; servers name
the end of an answer as they like. Code that keeps, replays or parses an answer asks here, so all of it agrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from presel.instruct.words import encodable, parsed

Ending = Literal["clean", "length", "filter", "error", "unknown"]

_ENDINGS: dict[Ending, str] = {
    "clean": r"stop(_sequence|_token)?|end(_turn)?|eos(_token)?|completed?|done|finished|tool_calls",
    "length": r"length|(max|model)_length|max_(output_|completion_)?tokens|token_limit|incomplete",
    "filter": r"content_filter(ed)?|(image_)?safety|recitation|blocklist|prohibited_content|spii|guardrail_intervened",
    "error": r"(server_|internal_)?error|failed|failure|abort(ed)?|cancell?ed|timeout",
}
"""What servers call the end of an answer, in small letters."""
_THOUGHTS = r"think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis"
_OPENS = re.compile(rf"<\s*(?:seed:)?(?:{_THOUGHTS})\s*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>", re.IGNORECASE)
_CLOSES = re.compile(rf"<\s*/\s*(?:seed:)?(?:{_THOUGHTS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>", re.IGNORECASE)
_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>", re.IGNORECASE)
_SPEECH = (None, "text", "output_text")
"""Types of the parts of a content that are words to the reader; others are thoughts, pictures, citations."""


def choice_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; nothing, if a server put something else in its place."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def message_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice's message; nothing, if a server put something else in its place."""
    message = choice_of(body).get("message")
    return message if isinstance(message, Mapping) else {}


def words_of(body: Mapping[str, Any]) -> str:
    """The words of the first choice; servers differ in whether they come as one string or in parts."""
    content = message_of(body).get("content")
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, Mapping) and part.get("type") in _SPEECH)
        content = "".join(str(part.get("text", "")) for part in parts)
    return encodable(content) if isinstance(content, str) else ""


def spoken(text: str) -> str:
    """What is meant for the reader: without the thoughts before it.

    A thought ends with its last closing mark, whether its opening one is there or was part of the prompt; one that is never
    closed reaches to the end. Whole JSON is left alone, whatever its sentences quote.
    """
    if parsed(text) is not None:
        return text
    channel = list(_FINAL_CHANNEL.finditer(text))
    if channel:
        return text[channel[-1].end() :].partition("<|")[0]
    closing = list(_CLOSES.finditer(text))
    rest = text[closing[-1].end() :] if closing else text
    opening = _OPENS.search(rest)
    return rest[: opening.start()] if opening else rest


def ending(body: Mapping[str, Any]) -> Ending:
    """How the first choice ended, whatever the server calls it."""
    said = str(choice_of(body).get("finish_reason") or "").lower().rpartition(".")[2]
    return next((name for name, words in _ENDINGS.items() if re.fullmatch(words, said)), "unknown")


def cut(text: str, end: Ending) -> bool:
    """Whether a text that is not whole JSON stops in the middle: repair would take half a sentence for a whole one.

    Where a server says that the answer ended by itself, missing brackets are the model's carelessness; inside a sentence
    nothing ends by itself. Where it says nothing of the kind, both are a cut.
    """
    if parsed(text) is not None:
        return False
    depth, quoted = _open_at_the_end(text)
    return end == "length" or quoted or (depth > 0 and end != "clean")


def complaint(body: Mapping[str, Any]) -> Any:
    """The error that a body with status 200 carries, in place of a whole answer or after half of one; None: there is none."""
    choice, message = choice_of(body), message_of(body)
    error = body.get("error") or choice.get("error") or message.get("error")
    if not error and choice and ending(body) == "error":
        error = f"finish_reason {choice.get('finish_reason')}"
    if not error and not choice:
        error = body.get("detail")
    return None if not error or _is_whole(spoken(words_of(body)), ending(body)) else error


def is_void(status: int, body: Mapping[str, Any]) -> bool:
    """Whether a body is no answer, but a failure of the moment: an error, or neither words nor a bill.

    None is kept any more; a store may hold some from before.
    """
    if status != 200:
        return False
    if complaint(body) is not None or not choice_of(body):
        return True
    silent = not words_of(body).strip() and not message_of(body).get("refusal")
    return silent and not has_usage(body) and ending(body) != "filter"


def has_usage(body: Mapping[str, Any]) -> bool:
    """Whether a body says that anything was read or written."""
    usage = body.get("usage")
    return isinstance(usage, Mapping) and any(count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))


def count(said: object) -> int | None:
    """A number of tokens that can be meant, be it written as a number or as its digits; or None."""
    if isinstance(said, str) and re.fullmatch(r"\s*[0-9]{1,15}(\.0*)?\s*", said):
        said = float(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1e15:
        return None
    return int(said)


def _is_whole(text: str, end: Ending) -> bool:
    return parsed(text) is not None or (end == "clean" and "{" in text and not cut(text, "unknown"))


def _open_at_the_end(text: str) -> tuple[int, bool]:
    """How many brackets are open where a text ends, and whether a quotation is. Quotation marks inside one are forgiven."""
    depth, quote, escaped = 0, "", False
    for place, letter in enumerate(text):
        if quote:
            if escaped or letter == "\\":
                escaped = not escaped
            elif letter == quote and (text[place + 1 : place + 200].lstrip() or ",")[0] in ",:]}":
                quote = ""
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth = max(0, depth - 1)
        elif depth and (letter == '"' or (letter == "'" and text[:place].rstrip()[-1:] in "{[,:")):
            quote = letter
    return depth, bool(quote)
