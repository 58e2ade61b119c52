"""Files and batches as the real API has them: upload, create, retrieve, list, cancel, download; 24 hours in a second.

A batch is worked through `seconds` after it was created, whether anybody looks or not, so its lines are billed even
if its creator is dead. Of a batch that expires or is cancelled the finished part is delivered and billed, and the
rest comes back in the error file, as the real one does it. The output is shuffled.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from presel.demo.endpoint.answers import failure
from presel.demo.endpoint.http import Incoming, Reply, reply

Answered = Callable[[bytes], tuple[int, Any]]
"""The body of one line's request -> status and document of its response."""

LARGEST_FILE = 200_000_000
MOST_LINES = 50_000


@dataclass
class Batch:
    id: str
    file: str
    metadata: Mapping[str, str]
    created: float
    fault: str | None
    """batch_expires | batch_fails | None"""
    status: str = "in_progress"
    total: int = 0
    done: int = 0
    failed: int = 0
    output: str | None = None
    errors: str | None = None
    complaints: list[dict[str, Any]] = field(default_factory=list)


class Batches:
    """Everything below /files and /batches; lives in the server's loop. `answered` answers and bills one line."""

    def __init__(self, answered: Answered, fault: Callable[[str, int], str | None], seconds: float) -> None:
        self._answered, self._fault, self._seconds = answered, fault, seconds
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self._times: dict[str, int] = {}

    def reply(self, incoming: Incoming) -> Reply | None:
        """The answer to a request about files or batches; None: it is about something else."""
        kind, _, rest = incoming.path.partition("/v1/")[2].partition("/")
        name, _, verb = rest.partition("/")
        routes: dict[tuple[str, str, bool, str], Callable[[], Reply]] = {
            ("POST", "files", False, ""): lambda: self._upload(incoming),
            ("GET", "files", True, "content"): lambda: self._content(name),
            ("DELETE", "files", True, ""): lambda: self._delete(name),
            ("POST", "batches", False, ""): lambda: self._create(incoming),
            ("GET", "batches", False, ""): lambda: self._list(incoming.query),
            ("GET", "batches", True, ""): lambda: self._retrieve(name),
            ("POST", "batches", True, "cancel"): lambda: self._cancel(name),
        }
        route = routes.get((incoming.method, kind, bool(name), verb))
        return route() if route else None

    # --- files -------------------------------------------------------------------------------------------------------

    def _upload(self, incoming: Incoming) -> Reply:
        boundary = incoming.headers.get("content-type", "").partition("boundary=")[2].strip('"')
        parts = _multipart(incoming.body, boundary.encode())
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return reply(400, failure("invalid_request", "a file and purpose=batch are needed"))
        if len(parts["file"]) > LARGEST_FILE:
            return reply(413, failure("file_too_large", "at most 200 MB"))
        name = self._keep(parts["file"])
        return reply(200, {"id": name, "object": "file", "bytes": len(parts["file"]), "created_at": int(time.time()),
                           "filename": "batch.jsonl", "purpose": "batch", "status": "processed"})  # fmt: skip

    def _content(self, id: str) -> Reply:
        if id not in self.files:
            return _missing(id)
        return Reply(200, self.files[id], kind="application/octet-stream")

    def _delete(self, id: str) -> Reply:
        if self.files.pop(id, None) is None:
            return _missing(id)
        return reply(200, {"id": id, "object": "file", "deleted": True})

    def _keep(self, data: bytes) -> str:
        name = f"file-{len(self.files)}-{hashlib.sha256(data).hexdigest()[:12]}"
        self.files[name] = data
        return name

    # --- batches -----------------------------------------------------------------------------------------------------

    def _create(self, incoming: Incoming) -> Reply:
        asked = json.loads(incoming.body)
        if asked.get("input_file_id") not in self.files:
            return reply(400, failure("invalid_request", "no such input file"))
        data = self.files[asked["input_file_id"]]
        about = hashlib.sha256(data).hexdigest()
        self._times[about] = self._times.get(about, 0) + 1
        batch = Batch(
            f"batch_{len(self.batches):04d}",
            asked["input_file_id"],
            asked.get("metadata") or {},
            time.time(),
            self._fault(about, self._times[about]),
        )
        self.batches[batch.id] = batch
        asyncio.get_running_loop().call_later(self._seconds, self._work, batch, data)
        return reply(200, _document(batch))

    def _list(self, query: Mapping[str, str]) -> Reply:
        """Newest first, a page at a time."""
        newest = list(self.batches.values())[::-1]
        start = next((i + 1 for i, batch in enumerate(newest) if batch.id == query.get("after")), 0)
        page = newest[start : start + int(query.get("limit", 20))]
        more = start + len(page) < len(newest)
        return reply(200, {"object": "list", "data": [_document(b) for b in page], "has_more": more,
                           "first_id": page[0].id if page else None, "last_id": page[-1].id if page else None})  # fmt: skip

    def _retrieve(self, id: str) -> Reply:
        return reply(200, _document(self.batches[id])) if id in self.batches else _missing(id)

    def _cancel(self, id: str) -> Reply:
        if id not in self.batches:
            return _missing(id)
        batch = self.batches[id]
        if batch.status == "in_progress":
            self._finish(batch, self.files.get(batch.file, b""), "cancelled", 0.5)
        return reply(200, _document(batch))

    def _work(self, batch: Batch, data: bytes) -> None:
        if batch.status != "in_progress":
            return
        if batch.fault == "batch_fails":
            batch.status = "failed"
            batch.complaints = [
                {"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}
            ]
        elif batch.fault == "batch_expires":
            self._finish(batch, data, "expired", 0.5)
        else:
            self._finish(batch, data, "completed", 1.0)

    def _finish(self, batch: Batch, data: bytes, status: str, share: float) -> None:
        lines = data.splitlines()
        invalid = _invalid(lines)
        if invalid:
            batch.status, batch.complaints = "failed", [invalid]
            return
        draw = random.Random(data)
        draw.shuffle(lines)
        batch.total, finished = len(lines), math.ceil(len(lines) * share)
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for line in lines[:finished]:
            asked = json.loads(line)
            code, body = self._answered(_body_of(line))
            response = {"status_code": code, "request_id": asked["custom_id"][:8], "body": body}
            document = {"id": f"r-{asked['custom_id'][:8]}", "custom_id": asked["custom_id"]}
            (good if code == 200 else bad).append({**document, "response": response, "error": None})
        late = {"code": "batch_expired", "message": "This request could not be executed before the window closed."}
        bad += [{"id": "r", "custom_id": json.loads(line)["custom_id"], "response": None, "error": late}
                for line in lines[finished:]]  # fmt: skip
        batch.done, batch.failed, batch.status = len(good), len(bad), status
        batch.output, batch.errors = self._lines(good), self._lines(bad)

    def _lines(self, documents: list[dict[str, Any]]) -> str | None:
        return self._keep("\n".join(json.dumps(d) for d in documents).encode()) if documents else None


def _body_of(line: bytes) -> bytes:
    """The request as it would have been sent alone, so that it gets the same answer."""
    return json.dumps(json.loads(line)["body"], separators=(",", ":"), ensure_ascii=False).encode()


def _invalid(lines: list[bytes]) -> dict[str, Any] | None:
    """What makes the real API refuse a whole file."""
    try:
        names = [json.loads(line)["custom_id"] for line in lines]
    except (ValueError, KeyError):
        return {"code": "invalid_json_line", "message": "This line is not parseable as valid JSON.", "line": 1}
    if not names or len(names) > MOST_LINES:
        return {"code": "too_many_tasks", "message": "Between 1 and 50,000 requests.", "line": None}
    if len(set(names)) < len(names):
        return {"code": "duplicate_custom_id", "message": "custom_id must be unique.", "line": None}
    return None


def _document(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": batch.file,
        "completion_window": "24h",
        "status": batch.status,
        "created_at": int(batch.created),
        "metadata": dict(batch.metadata),
        "output_file_id": batch.output,
        "error_file_id": batch.errors,
        "errors": {"object": "list", "data": batch.complaints} if batch.complaints else None,
        "request_counts": {"total": batch.total, "completed": batch.done, "failed": batch.failed},
    }


def _missing(id: str) -> Reply:
    return reply(404, failure("not_found", f"no such object: {id}"))


def _multipart(body: bytes, boundary: bytes) -> dict[str, bytes]:
    """Form fields by name. Enough for one file and a few words."""
    fields = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        fields[name] = value.removesuffix(b"\r\n")
    return fields
