"""Temporary folders, and what is said when their disk is full."""

from __future__ import annotations

import resource
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather

from presel.errors import StorageError
from presel.tables.scratch import scratch


def test_a_temporary_folder_is_gone_with_what_it_held() -> None:
    with scratch("assemble") as folder:
        (folder / "a").write_bytes(b"x")
    assert not folder.exists()


def test_a_disk_that_takes_no_more_is_named_with_the_variable_that_chooses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="TMPDIR") as caught, scratch("assemble") as folder:
            feather.write_feather(pa.table({"a": list(range(100_000))}), folder / "a", "uncompressed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.where == str(folder)
    assert list(tmp_path.iterdir()) == []


def test_another_fault_is_left_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), scratch("assemble") as folder:
        (folder / "b").read_bytes()
