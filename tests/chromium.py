"""A real browser for tests. Skipped where none is installed, unless PRESEL_REQUIRE_BROWSER=1.

Screenshots go to PRESEL_SCREENSHOTS, or to the tests' own temporary folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("PRESEL_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
needs_a_browser = pytest.mark.skipif(
    not Path(CHROMIUM).exists() and os.environ.get("PRESEL_REQUIRE_BROWSER") != "1",
    reason=f"no browser at {CHROMIUM}: install Debian's chromium, or name one in PRESEL_CHROMIUM",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def screenshots(factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are kept."""
    folder = os.environ.get("PRESEL_SCREENSHOTS")
    if not folder:
        return factory.mktemp("screenshots")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
