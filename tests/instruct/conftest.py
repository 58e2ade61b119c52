from __future__ import annotations

from pathlib import Path

import pytest

from tests.instruct.pools import KEY_VARIABLE, SECRET, Pool


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)
