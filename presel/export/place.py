"""Where an export is written: whole or not at all, and after a crash from where it stood.

`export.json` is written last: without it, there is no export. While one is being written,
`unfinished.json` stands in its place and says which shards are done; both say how pictures were
written, so that those of an earlier export in the same folder are taken over instead of being read
from the source again. Names of shards hold the digest of what is exported: a newer export stands
beside an older one until its README names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from presel.config.keys import short_digest
from presel.errors import NotFound
from presel.storage import Entry, open_store
from presel.storage.store import Store

MARKER, UNFINISHED = "export.json", "unfinished.json"
FORMAT = 1


class Place:
    """A folder or prefix that holds one export."""

    def __init__(self, uri: str, promise: Mapping[str, Any]) -> None:
        self.store: Store = open_store(uri)
        self.promise: dict[str, Any] = json.loads(json.dumps(promise))
        self.generation = short_digest(json.dumps(self.promise, sort_keys=True))[:8]
        self._before = [self._said(MARKER), self._said(UNFINISHED)]
        self.shards: dict[str, int] = self._resumed()
        """Finished shards of this export, by name, with their records."""

    @property
    def complete(self) -> bool:
        """Whether this very export is there already."""
        return self._before[0].get("promise") == self.promise

    @property
    def takes_over(self) -> bool:
        """Whether pictures that lie here already are written as they would be now."""
        pictures = [said["promise"]["pictures"] for said in self._before if said]
        return bool(pictures) and all(spec == self.promise["pictures"] for spec in pictures)

    def begin(self) -> None:
        """From here on there is no export until `finish`."""
        self._note()
        self.store.delete(MARKER)

    def entries(self, folder: str) -> Iterable[Entry]:
        return self.store.list(folder)

    def write(self, name: str, data: bytes | BinaryIO) -> None:
        self.store.write(name, data)

    def write_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """A file that is never in memory as a whole."""
        with TemporaryFile() as file:
            file.writelines(pieces)
            self.store.write(name, file)

    def write_shard(self, name: str, file: BinaryIO, records: int) -> None:
        self.store.write(name, file)
        self.shards[name] = records
        self._note()

    def finish(self, told: Mapping[str, Any]) -> None:
        """The export exists, and what an earlier one alone needed does not."""
        self.store.write(MARKER, _json({"format": FORMAT, "promise": self.promise, **told, "shards": self.shards}))
        self.store.delete(UNFINISHED)
        for said in self._before:
            for name in said.get("shards", {}):
                if name not in self.shards:
                    self.store.delete(name)

    def former_shards(self, suffix: str, folder: str) -> list[str]:
        """Shards of that kind that lie here, of whichever export."""
        names = [entry.path for entry in self.entries(folder) if entry.path.endswith(suffix)]
        return sorted(names) if self.takes_over else []

    def _resumed(self) -> dict[str, int]:
        said = self._before[1]
        return dict(said["shards"]) if said.get("promise") == self.promise else {}

    def _note(self) -> None:
        earlier = {name: 0 for said in self._before for name in said.get("shards", {})}
        said = {"format": FORMAT, "promise": self.promise, "shards": self.shards, "earlier": earlier}
        self.store.write(UNFINISHED, _json(said))

    def _said(self, name: str) -> dict[str, Any]:
        with suppress(NotFound, ValueError):
            return document(self.store.read(name))
        return {}


def document(data: bytes) -> dict[str, Any]:
    """What a marker says; empty if it is none of ours. Raises ValueError for what is no JSON."""
    said = json.loads(data)
    return said if isinstance(said, dict) and isinstance(said.get("promise"), dict) else {}


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
