"""A real Label Studio on loopback, on SQLite, in a virtual environment of its own.

`PRESEL_LABEL_STUDIO` names the command of one that is installed, or the address of one that runs and knows our token.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from presel.cli.prefect_run import free_port
from tests.system.processes import until

TOKEN = "0123456789abcdef0123456789abcdef01234567"
_START = 600.0


def program(folder: Path) -> Path | None:
    """Label Studio's command, installed into `folder`; None where that is not possible."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    installed = subprocess.run([folder / "bin/pip", "install", "-q", "label-studio"], capture_output=True, check=False)
    return folder / "bin/label-studio" if installed.returncode == 0 else None


class Studio:
    """Its API, as one administrator."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, path: str, document: Any = None) -> Any:
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        data = None if document is None else json.dumps(document).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return json.loads(answer.read() or b"null")

    @property
    def answers(self) -> bool:
        try:
            self("GET", "/health")
        except OSError:
            return False
        return True


@contextmanager
def label_studio(folder: Path) -> Iterator[Studio | None]:
    """A server for the length of a block; None where none can be installed."""
    given = os.environ.get("PRESEL_LABEL_STUDIO", "")
    if given.startswith("http"):
        yield Studio(given)
        return
    studio = Path(given) if given else program(folder / "venv")
    if studio is None:
        yield None
        return
    with served(studio, folder / "data") as found:
        yield found


@contextmanager
def served(studio: Path, folder: Path) -> Iterator[Studio]:
    """A server of its own."""
    port = free_port()
    told = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SSRF_PROTECTION_ENABLED": "false",  # the S3 server of the test is on loopback, too
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    person = ["--username", "a@example.org", "--password", "long-enough-1", "--user-token", TOKEN]
    address = ["--internal-host", "127.0.0.1", "--port", str(port), "--no-browser"]
    folder.mkdir(parents=True)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [studio, "start", *address, *person], env={**os.environ, **told}, stdout=log, stderr=log
        )
        try:
            found = Studio(f"http://127.0.0.1:{port}")
            until(lambda: found.answers, _START)
            yield found
        finally:
            process.terminate()
            process.wait(30)
