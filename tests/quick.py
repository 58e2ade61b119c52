"""`make quick`: every test that needs no server, no browser, no model and no process of its own.

Which those are is not written down anywhere: a test is skipped at the moment that it loads one of the libraries below, opens a
socket or starts a process. Python tells of all three (`sys.addaudithook`).
"""

from __future__ import annotations

import sys

import pytest

HEAVY = frozenset(
    {"torch", "transformers", "open_clip", "timm", "prefect", "moto", "playwright", "ray", "dask", "openai"}
)
_PROCESSES = frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn"})


def begin() -> None:
    """From now on, for good."""
    sys.addaudithook(_refuse)


def _refuse(event: str, details: tuple[object, ...]) -> None:
    if event == "import":
        library = str(details[0]).partition(".")[0]
        if library in HEAVY:
            pytest.skip(f"loads {library}", allow_module_level=True)
    elif event in _PROCESSES:
        pytest.skip("starts a process", allow_module_level=True)
    elif event == "socket.bind":
        pytest.skip("serves", allow_module_level=True)
