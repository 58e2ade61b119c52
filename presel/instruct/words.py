"""Text that came from outside, made fit for what it goes through: UTF-8, Parquet, terminals, PostgreSQL, JSON schemas of ours.

A provider's JSON may hold anything that JSON can say: half of a surrogate pair, which no UTF-8 file takes; NUL, which
PostgreSQL refuses and so loses the Prefect artifact it is in; escape sequences, which a terminal obeys. The raw answer keeps
them in the ledger; what is made of it does not.
"""

from __future__ import annotations

import json
import re
from typing import Any

from presel.errors import require

LONGEST_REPAIR = 32_000
"""Characters. What is longer is not mended: json-repair takes 2 s for the worst 16,000, and time grows with the square."""
_DEEPEST = 100
"""Levels of nesting. What can just be read can be too deep to be written, or read again inside a ledger entry."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """Without halves of surrogate pairs."""
    return _HALF_PAIR.sub("�", text)


def printable(text: str) -> str:
    """Without control characters, but for line breaks and tabs, and without halves of surrogate pairs."""
    return _CONTROL.sub("", encodable(text))


def parsed(text: str) -> Any:
    """JSON as Python, a byte order mark left out; None if it is cut or no JSON, or nested as no answer is."""
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return None if text.count("[") + text.count("{") > _DEEPEST and _is_deep(found) else found


def mended(text: str) -> Any:
    """JSON as Python, mended where it is broken; None if there is none to be found."""
    found = parsed(text)
    if found is not None or len(text) > LONGEST_REPAIR:
        return found
    require("instruct", "mending a broken answer")
    import json_repair

    try:
        found = json_repair.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(found) else found


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def written(document: Any) -> str:
    """A document as one line of JSON that UTF-8 can hold, with letters as letters wherever that is possible."""
    text = json.dumps(document, ensure_ascii=False)
    return text if _HALF_PAIR.search(text) is None else json.dumps(document)
