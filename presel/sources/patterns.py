"""Globs over keys, which are paths with `/` between their parts.

`*` and `?` stand for signs within a part, `[ab]` for one of them, `**` for any number of parts. `{task}` stands for one part
and gives it a name. A bucket's keys are matched as a folder's paths are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PIECES = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|\{task\}|[^*?\[{]+|.", re.DOTALL)
_MEANING = {"**/": "(?:[^/]*/)*", "**": ".*", "*": "[^/]*", "?": "[^/]", "{task}": "(?P<task>[^/]+?)"}


def matcher(pattern: str) -> re.Pattern[str]:
    """To be used with `fullmatch`."""
    return re.compile("".join(map(_translated, _PIECES.findall(pattern))), re.DOTALL)


def _translated(piece: str) -> str:
    if piece.startswith("[") and len(piece) > 2:
        return "[" + ("^" if piece[1] in "!^" else "") + re.escape(piece[1:-1].lstrip("!^")).replace(r"\-", "-") + "]"
    return _MEANING.get(piece) or re.escape(piece)


class Excluded:
    """Whether a key is left out. A pattern without a `/` stands for a file or a folder of that name wherever it is, one with
    a `/` is a path from the source's root; what is below a folder that is left out is left out, too."""

    def __init__(self, patterns: Iterable[str]) -> None:
        found = (matcher(_from_the_root(pattern)).pattern for pattern in patterns)
        self._matchers = [re.compile(f"(?:{pattern})(?:/.*)?", re.DOTALL) for pattern in found]

    def __call__(self, path: str) -> bool:
        """`path`: of a folder with a `/` at its end."""
        return any(found.fullmatch(path) for found in self._matchers)


def _from_the_root(pattern: str) -> str:
    path = pattern.removeprefix("/")
    anywhere = "" if "/" in pattern.rstrip("/") else "**/"
    return f"{anywhere}{path}**" if path.endswith("/") else f"{anywhere}{path}"
