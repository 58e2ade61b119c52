"""What the store knows of batches, so that anybody can fetch what a dead process had asked for.

    ledger/identity.json                  names this store in the metadata of its batches, wherever it is mounted
    ledger/batches/00000007-requests.gz   what was asked: an answer says only to which key it belongs
    ledger/batches/00000007-intent.json   the uploaded file; written before the provider is asked to create the batch
    ledger/batches/00000007.json          the batch's id; written after

The number is that of the lease that pays for the batch (lease_log.py), and the batch is over when that lease is settled.
Where there is no intent, no batch was created. Where there is an intent and no id, there may be one: its metadata
name store, lease and file, so a listing finds it.
"""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from presel.errors import AlreadyExists, NotFound
from presel.instruct.questions.request import Request
from presel.storage import Store

FOLDER = "ledger/batches"
_IDENTITY = "ledger/identity.json"


class BatchLog:
    """Records of batches on one store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def identity(self) -> str:
        """16 hex characters that are this store's own; the first to ask draws them."""
        with suppress(AlreadyExists):
            if not self._store.exists(_IDENTITY):
                self._store.create(_IDENTITY, json.dumps({"id": secrets.token_hex(8)}).encode())
        return str(json.loads(self._store.read(_IDENTITY))["id"])

    def keep_requests(self, number: int, requests: Iterable[Request]) -> None:
        lines = "\n".join(json.dumps(request.document(), ensure_ascii=False) for request in requests)
        self._store.write(f"{FOLDER}/{number:08d}-requests.gz", gzip.compress(lines.encode(), 6, mtime=0))

    def requests(self, number: int) -> dict[str, Request]:
        """Request key -> request. Raises NotFound."""
        lines = gzip.decompress(self._store.read(f"{FOLDER}/{number:08d}-requests.gz")).decode().split("\n")
        found = [Request.of(json.loads(line)) for line in lines]
        return {request.key: request for request in found}

    def intend(self, number: int, file: str, digest: str, base_url: str) -> None:
        document = {"file": file, "digest": digest, "base_url": base_url}
        self._store.write(f"{FOLDER}/{number:08d}-intent.json", json.dumps(document).encode())

    def intent(self, number: int) -> dict[str, str] | None:
        """The uploaded `file`, its `digest`, and the `base_url` of the provider that has it."""
        found: dict[str, str] | None = self._read(f"{FOLDER}/{number:08d}-intent.json")
        return found

    def begun(self, number: int, batch: str) -> None:
        self._store.write(f"{FOLDER}/{number:08d}.json", json.dumps({"batch": batch}).encode())

    def batch(self, number: int) -> str | None:
        """The provider's id of a batch."""
        found = self._read(f"{FOLDER}/{number:08d}.json")
        return found["batch"] if found else None

    def tidy(self, number: int) -> None:
        """After the end: every answer holds its request by now."""
        self._store.delete(f"{FOLDER}/{number:08d}-requests.gz")

    def _read(self, path: str) -> Any:
        try:
            return json.loads(self._store.read(path))
        except NotFound:
            return None
