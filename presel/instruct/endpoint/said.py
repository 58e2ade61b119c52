"""What an error body says, whatever its shape: an object, a list of one (Gemini), fields that a validator refuses (Mistral,
vLLM), a page of HTML (a proxy), plain text (Ollama), nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from presel.instruct.words import parsed, printable, written

LONGEST = 1000
"""Characters that are quoted."""
_LONGEST_PAGE = 100_000
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def code_and_message(text: str) -> tuple[str, str]:
    """Code and message of an error body, for people; "" where it has none."""
    body = parsed(text)
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
        body = body[0]
    if not isinstance(body, Mapping):
        return "", _plain(text) if body is None else _words(body)
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return "", _words(error)
    code = error.get("code") or error.get("type") or ""
    message = error.get("message") or body.get("detail") or error.get("detail") or body.get("message")
    return str(code), _words(message or ("" if "error" in body and not error else error))


def _words(message: Any) -> str:
    return printable(message if isinstance(message, str) else written(message))[:LONGEST]


def _plain(text: str) -> str:
    """Text, or a page without its tags."""
    text = text[:_LONGEST_PAGE]
    if "<" in text:
        text = html.unescape(_UNSEEN.sub(" ", text))
    return printable(" ".join(text.split()))[:LONGEST]
