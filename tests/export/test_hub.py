"""Pushing an export to the hub, against a server here that speaks its protocol."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from presel.errors import ConfigError, StorageError
from presel.export import export_version
from presel.export.hub import push
from tests.export.pool import photo, publish


class Hub(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, bytes]] = {}
    refuses = False

    def do_GET(self) -> None:
        if "/tree/" in self.path or "/paths-info/" in self.path:
            return self._answer(200, [{"type": "file", "path": name, "oid": "0", "size": 1} for name in self.files])
        return self._answer(200, {"id": "me/odd", "sha": "a" * 40, "siblings": [], "private": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.refuses:
            return self._answer(403, {"error": "no right to write"})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            told = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in files]
            return self._answer(200, {"files": told})
        if "/commit/" in self.path:
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    self.files.pop(line["value"]["path"])
            url = "https://huggingface.co/datasets/me/odd/commit/" + "a" * 40
            return self._answer(200, {"commitUrl": url, "commitOid": "a" * 40, "success": True})
        return self._answer(200, {"url": "https://huggingface.co/datasets/me/odd", "id": "me/odd"})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Hub, "files", {"data/train-old-00000.parquet": b"old"})
    monkeypatch.setattr(Hub, "refuses", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", "hf_word")
    yield Hub
    server.shutdown()


def exported(folder: Path) -> Path:
    made = publish(folder, {f"a/{i}.jpg": photo(i) for i in range(3)})
    export_version(made.dataset, made.exporting(folder / "out", validation=0))
    return folder / "out"


def test_an_export_is_one_commit_without_our_own_marks_and_without_what_was_there_before(hub, tmp_path: Path) -> None:
    out = exported(tmp_path)
    assert "commit" in push(str(out), "me/odd")
    wanted = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} - {"export.json"}
    assert hub.files.keys() == wanted
    assert all(hub.files[name] == (out / name).read_bytes() for name in wanted)


def test_a_refusal_is_said_in_words(hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = exported(tmp_path)
    monkeypatch.setattr(hub, "refuses", True)
    with pytest.raises(StorageError, match="hub did not take it"):
        push(str(out), "me/odd")


def test_what_is_not_complete_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="complete export"):
        push(str(tmp_path), "me/odd")
