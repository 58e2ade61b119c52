"""The API key goes out in one header and may come back in anything: an endpoint that echoes requests, a proxy's error page.

Wherever text of an endpoint enters (and it enters the ledger, rejects, errors, logs and Prefect's artifacts) the key is cut out
first, in every spelling that a server may have given it: as it is, as hexadecimal, in base64 at each of its three alignments,
and each of these with any of its letters as JSON, a URL or HTML may write them, once or several times over. Error
messages lose the masked form, too (`sk-ab***xyz`), which tells an attacker
both ends of a key; an answer that is paid for keeps its asterisks.

The SDK writes the headers of responses to its debug log before anybody here has seen them: hence `quiet`.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from html.entities import html5

_REMOVED = "[key removed]"
_SHORTEST = 8
"""Characters. A shorter word is no key (`demo`, `none`), and would be cut out of innocent sentences."""
_SPEAKERS = (
    "openai._base_client",
    "openai._response",
    "httpx2",
    "httpcore2.http11",
    "httpcore2.connection",
    "httpcore2.http2",
)


class Secret:
    """A key that no text may carry further."""

    def __init__(self, value: str) -> None:
        self._real = len(value) >= _SHORTEST
        spelled = sorted(set(_spellings(value)), key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, spelled)), re.IGNORECASE)
        # From the first backslash of several on: those left behind would break the JSON that they stand in.
        escaped = "|".join("".join(map(_letter, text)) for text in spelled)
        self._escaped = re.compile(rf"(?<!\\)(?:{escaped})", re.IGNORECASE)
        first, last = re.escape(value[:3]), re.escape(value[-3:])
        # Bounded, and only from the start of a run: a page of `xxxx` would keep an unbounded search busy for minutes.
        covered = r"(?:[*•●x]{2,64}|\.{3,64}|…)"
        before = rf"(?<![\w-]){first}[\w-]{{0,64}}{covered}[\w*•●.…-]*"
        self._masked = re.compile(rf"{before}|(?<![*•●x.…]){covered}[\w-]{{0,64}}{last}(?![\w-])")

    def out_of(self, text: str) -> str:
        """A text without the key, however it is spelled in it."""
        if not self._real:
            return text
        clean = self._spelled.sub(_REMOVED, text)
        return self._escaped.sub(_REMOVED, clean) if self._spelled.search(_plain(clean)) else clean

    def out_of_message(self, text: str) -> str:
        """An error message without the key and without its two ends."""
        return self._masked.sub(_REMOVED, self.out_of(text)) if self._real else text

    def quiet(self) -> None:
        """Keep the key out of what the SDK and its transport log from now on."""
        for logger in map(logging.getLogger, _SPEAKERS):
            known = [found.secret._spelled for found in logger.filters if isinstance(found, _Filter)]
            if self._real and self._spelled not in known:
                logger.addFilter(_Filter(self))


class _Filter(logging.Filter):
    def __init__(self, secret: Secret) -> None:
        super().__init__()
        self.secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        clean = self.secret.out_of_message(said)
        if clean != said:
            record.msg, record.args = clean, None
        return True


_ESCAPE = re.compile(
    r"(?<!\\)\\++(?:u00(?P<a>[0-9a-f]{2})|u\{0*(?P<b>[0-9a-f]{2})\}|x(?P<c>[0-9a-f]{2})|(?P<letter>/))"
    r"|%(?P<d>[0-9a-f]{2})|=(?P<e>[0-9a-f]{2})|&#x0{0,6}(?P<f>[0-9a-f]{2});?|&#0{0,6}(?P<number>\d{2,3});?|&(?P<name>\w{2,9};)",
    re.IGNORECASE,
)
_DEEPEST = 8
"""Writers that may have escaped one another's escapes."""


def _plain(text: str) -> str:
    """A text with its escapes undone: to look into, not to keep."""
    for _ in range(_DEEPEST):
        before, text = text, _ESCAPE.sub(_unescaped, text)
        if text == before:
            break
    return text


def _unescaped(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    said = found[kind]
    if kind == "name":
        return html5.get(said, found[0])
    if kind == "letter":
        return said
    return chr(int(said, 10 if kind == "number" else 16))


def _letter(letter: str) -> str:
    """A pattern for a letter of a key, in whatever writers of JSON, URLs, HTML or mail make of it, and of that again."""
    code, named = f"{ord(letter):02x}", [name for name in html5 if html5[name] == letter and name.endswith(";")]
    escaped = rf"\\*+(?:{re.escape(letter)}|u0*{code}|u\{{0*{code}\}}|x{code})"
    references = "|".join([f"#0*{ord(letter)};?", f"#x0*{code};?", *map(re.escape, named)])
    return rf"(?:{escaped}|%(?:25){{0,8}}{code}|&(?:amp;){{0,8}}(?:{references})|={code})"


def _spellings(value: str) -> Iterator[str]:
    data = value.encode()
    yield value
    yield data.hex()
    for before in range(3):
        # What stands around the key decides the characters at its ends: those in between are the key's own.
        whole = base64.b64encode(b"\0" * before + data + b"\0" * (-(before + len(data)) % 3))
        inner = whole[(8 * before + 5) // 6 : (8 * (before + len(data))) // 6].decode()
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
