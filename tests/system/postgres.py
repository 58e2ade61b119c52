"""PostgreSQL, Debian's package, with one empty database: started, killed, and started again on what it had written.

It refuses to run as root; then it runs as the user `postgres` that the package makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from presel.cli.prefect_run import free_port
from tests.system.processes import until


def programs() -> Path | None:
    """Where PostgreSQL's programs lie; Debian keeps them off the path."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = shutil.which("initdb") or next(iter(packaged), None)
    return Path(found).resolve().parent if found else None


class Postgres:
    """A cluster of databases in a folder. Its clients need no password; it listens on this machine only."""

    def __init__(self, folder: str) -> None:
        found = programs()
        assert found
        self._programs, self._folder, self._port = found, folder, free_port()
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid}
        setup = [self._program("initdb"), "-D", f"{folder}/data", "-U", "presel", "--auth=trust", "-E", "UTF8"]
        subprocess.run(setup, check=True, capture_output=True, cwd=folder, **self._as_user)

    @property
    def url(self) -> str:
        """As SQLAlchemy writes it."""
        return f"postgresql+asyncpg://presel@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        # -F: without waiting for the disk. What was written outlives the process, and no test cuts the power of this machine.
        options = ["-D", f"{self._folder}/data", "-p", str(self._port), "-k", self._folder, "-h", "127.0.0.1", "-F"]
        with Path(f"{self._folder}/log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program("postgres"), *options], cwd=self._folder, stdout=log, stderr=log, **self._as_user
            )
        until(self._answers, 300)

    def stop(self) -> None:
        """In order, whoever is connected."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _answers(self) -> bool:
        assert self.process.poll() is None, Path(f"{self._folder}/log").read_text()[-2000:]
        asked = [self._program("pg_isready"), "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
