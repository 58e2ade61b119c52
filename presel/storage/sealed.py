"""Small JSON documents that say which format they are of and that nobody has changed them since.

Everything on a store that outlives a run is read by presels that came later, and sometimes by one that was there before. So
what is written names its format, and a reader refuses a newer one in words rather than fail on a field it does not know;
where a document names none it is of format 1, from before formats were named. The checksum is over the document itself:
table files and published files are checked by their manifests, and a manifest by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from presel.config.keys import digest
from presel.errors import IntegrityError

FORMAT, CHECKSUM = "format", "sha256"


def seal(document: Mapping[str, Any], format: int) -> bytes:
    """The document as a person can read it, with its format and its checksum."""
    body = json.loads(json.dumps({**document, FORMAT: format}))
    whole = {**body, CHECKSUM: _checksum(body)}
    return (json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def unseal(data: bytes, format: int, *, what: str, where: str, fix: str) -> dict[str, Any]:
    """The document, its `format` in it. Raises IntegrityError when it is newer than `format`, damaged or changed.

    `what` it is and how to `fix` it when it is damaged: for the message.
    """
    try:
        document = json.loads(data)
        check_format(document, format, what=what, where=where)
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{what} cannot be read: {error}", where=where, fix=fix) from error
    promised = document.pop(CHECKSUM, None)
    if promised is not None and promised != (got := _checksum(document)):
        raise IntegrityError(f"{what} changed after it was written", where=where, expected=promised, got=got, fix=fix)
    return {FORMAT: 1, **document}


def check_format(document: Mapping[str, Any], format: int, *, what: str, where: str) -> None:
    """Raises IntegrityError when the document is of a newer format than `format`."""
    found = document.get(FORMAT, 1) if isinstance(document, Mapping) else None
    if not isinstance(found, int):
        raise TypeError("it names no format")
    if found > format:
        raise IntegrityError(
            f"a newer presel wrote {what}",
            where=where,
            expected=f"format {format} or older",
            got=f"format {found}",
            fix="upgrade presel here, or use another store; nothing was changed",
        )


def _checksum(document: Mapping[str, Any]) -> str:
    return digest(json.dumps(document, sort_keys=True).encode())
