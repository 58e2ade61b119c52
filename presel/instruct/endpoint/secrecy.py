"""The API key goes out in one header and may come back in anything: an endpoint that echoes requests, a proxy's error page.

Wherever text of an endpoint enters (and it enters the ledger, rejects, errors, logs and Prefect's artifacts) the key is cut out
first, in every spelling that a server may have given it: as it is, quoted for a URL, as hexadecimal, in base64 at each of its
three alignments, or escaped inside JSON. Error messages lose the masked form, too (`sk-ab***xyz`), which tells an attacker
both ends of a key; an answer that is paid for keeps its asterisks.

The SDK writes the headers of responses to its debug log before anybody here has seen them: hence `quiet`.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import quote

from presel.instruct.words import parsed, written

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
        self._spelled = re.compile(
            "|".join(map(re.escape, sorted(_spellings(value), key=len, reverse=True))), re.IGNORECASE
        )
        first, last = re.escape(value[:3]), re.escape(value[-3:])
        # Bounded, and only from the start of a run: a page of `xxxx` would keep an unbounded search busy for minutes.
        covered = r"(?:[*•●x]{2,64}|\.{3,64}|…)"
        before = rf"(?<![\w-]){first}[\w-]{{0,64}}{covered}[\w*•●.…-]*"
        self._masked = re.compile(rf"{before}|(?<![*•●x.…]){covered}[\w-]{{0,64}}{last}(?![\w-])")

    def out_of(self, text: str) -> str:
        """A text without the key, also where JSON spells it with escapes."""
        if not self._real:
            return text
        clean = self._spelled.sub(_REMOVED, text)
        if "\\u" not in clean:
            return clean
        document = parsed(clean)
        unescaped = "" if document is None else written(document)
        return self._spelled.sub(_REMOVED, unescaped) if self._spelled.search(unescaped) else clean

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


def _spellings(value: str) -> Iterator[str]:
    data = value.encode()
    yield value
    yield quote(value, safe="")
    yield data.hex()
    yield json.dumps(value)[1:-1]
    for before in range(3):
        # What stands around the key decides the characters at its ends: those in between are the key's own.
        whole = base64.b64encode(b"\0" * before + data + b"\0" * (-(before + len(data)) % 3))
        inner = whole[(8 * before + 5) // 6 : (8 * (before + len(data))) // 6].decode()
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
