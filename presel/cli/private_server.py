"""The Prefect server that is there for one run, where no other is named.

Prefect's own start of it is a child in the process group of the command: Ctrl-C in a terminal ends it first, a killed command
leaves it behind, and it writes wherever the shell's settings for *a* server point, be that a production database. Ours has
a session and a database of its own, and ends with the process that wanted it.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ANOTHER_SERVER = re.compile(
    r"PREFECT_(SERVER_)?(API_)?(DATABASE|AUTH_STRING|MESSAGING|REDIS|EVENTS_CAUSAL|CONCURRENCY_LEASE|BASE_PATH|DOCKET)"
)
"""Settings of a server that stays: where it keeps what it knows, and who may ask it."""
HOME = "presel-prefect-"
"""How the name of a temporary home begins."""
_EVERY = 1.0
"""Seconds between two looks at whether the parent is there."""


def writable_home() -> str | None:
    """Prefect's home for a private server: None where the usual one can be written, else a folder for this process."""
    usual = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    try:
        usual.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=usual):
            return None
    except OSError:
        own = tempfile.mkdtemp(prefix=HOME)
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        return own


def take_its_place() -> None:
    """Whatever in this process asks Prefect for a private server gets ours from now on."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import get_current_settings

    class PrivateServer(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            settings = get_current_settings()
            told = {**os.environ, **settings.to_environment_variables(exclude_unset=True)}
            command = [sys.executable, "-m", "presel.cli.private_server", str(os.getpid()), str(self.port)]
            return subprocess.Popen(command, env=environment(told, settings.home), start_new_session=True)

    PrivateServer()  # Prefect keeps one instance for each port, and asks for that of None


def environment(told: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the server is started with, of all that this process was told."""
    kept = {name: value for name, value in told.items() if not _ANOTHER_SERVER.match(name)}
    own = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/presel.db",
        "PREFECT_SERVER_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    return {**kept, **own}


def _serve(parent: int, port: int) -> None:
    import uvicorn

    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
    )


def _end_with(parent: int) -> None:
    """Not a signal on the parent's death: the kernel sends that when the *thread* ends that started this process."""
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
