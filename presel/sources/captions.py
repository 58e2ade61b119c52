"""The text that belongs to a picture: in `cat.txt` or `cat.json` beside `cat.jpg`, or in a column of the mapping.

Prompts may show it. It is data from outside: its controls are left out, and of a long one the beginning counts, so that what a
request may cost is known before any is read. What is no text (not there, empty, no field of that name) is no caption.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from posixpath import splitext

from presel.config import SourceConfig
from presel.errors import AccessDenied, NotFound, ObjectArchived, StorageUnavailable
from presel.images import Reason, Rejected
from presel.sources.source import Source
from presel.sources.task_names import captions_of

LONGEST = 2000
"""Bytes of a caption, as UTF-8; what is longer ends with an ellipsis after its last whole word."""
_LARGEST = 1 << 20
"""Bytes of a file that a caption is looked for in."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def is_caption(config: SourceConfig, key: str) -> bool:
    """Whether an object is a text beside a picture and no part of the pool."""
    return config.captions in ("txt", "json") and key.lower().endswith(f".{config.captions}")


class Captions:
    """Of one source. Thread-safe once `look_up` is done."""

    def __init__(self, source: Source) -> None:
        self._source, self._kind, self._field = source, source.config.captions, source.config.caption_field
        self._known: dict[tuple[str, str], str] = {}

    def look_up(self, samples: Sequence[tuple[str, str]]) -> None:
        """Find the captions of these (key, task) in a mapping, which is read once for all of them. Raises ConfigError."""
        if self._kind == "column":
            wanted = [sample for sample in samples if sample not in self._known]
            self._known |= captions_of(self._source.config, self._source.root, wanted)

    def of(self, key: str, task: str) -> str | Rejected | None:
        """The caption of a sample; None: it has none; or why it could not be read this time. Raises StorageError."""
        if self._kind == "column":
            return clean(self._known.get((key, task)))
        try:
            data = self._source.beside(self.where(key), _LARGEST)
        except (NotFound, ObjectArchived):
            return None
        except AccessDenied as error:
            return Rejected(Reason.UNREADABLE, error.what)
        except StorageUnavailable as error:
            return self._source.excuse(error)
        return None if len(data) > _LARGEST else clean(self._in(data))

    def where(self, key: str) -> str:
        """What should hold the caption of the picture with that key."""
        return f"column {self._field}" if self._kind == "column" else f"{splitext(key)[0]}.{self._kind}"

    def _in(self, data: bytes) -> object:
        text = data.decode("utf-8-sig", "replace")
        if self._kind == "txt":
            return text
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return found.get(self._field) if isinstance(found, dict) else found


def clean(said: object) -> str | None:
    """A caption as prompts show it, or None."""
    if isinstance(said, list) and all(isinstance(line, str) for line in said):
        said = "\n".join(said)
    if not isinstance(said, str):
        return None
    text = _CONTROLS.sub("", said.replace("\r\n", "\n")).strip()
    if len(text.encode()) > LONGEST:
        begun = text.encode()[: LONGEST - 3].decode(errors="ignore")
        text = (re.sub(r"\s+\S*$", "", begun) or begun) + "…"
    return text or None
