from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from presel import table_store
from presel.errors import IntegrityError
from presel.table_store import Output
from presel.tables import CLUSTERS


def written(store: Path, key: str = "k", *labels: str):
    out = Output(str(store), "cluster", key)
    for label in labels or ("all",):
        out.write_rows([{"sample_id": label, "cluster": 1}], CLUSTERS, label)
    out.reject(task="t", key="b.jpg", id="2", reason="truncated")
    out.reject(task="t", key="a.jpg", id="1", reason="zero_byte", detail="0 bytes")
    out.note(seconds=1.5)
    return out.commit({"x": 1})


def test_what_was_written_is_read_back_by_reference(tmp_path):
    ref = written(tmp_path, "k", "one", "two words / and a slash")
    assert table_store.read(ref)["sample_id"].to_pylist() == ["one", "two words / and a slash"]
    assert [part.rows for part in ref.split()] == [1, 1]
    assert table_store.read(ref.labelled("one")).num_rows == 1
    assert table_store.facts(ref) == {"seconds": 1.5}


def test_rejects_are_sorted_and_belong_to_the_whole(tmp_path):
    ref = written(tmp_path, "k", "one", "two")
    assert table_store.rejects(ref)["key"].to_pylist() == ["a.jpg", "b.jpg"]
    assert [part.rejects for part in ref.split()] == [0, 0]


def test_an_output_without_its_manifest_does_not_exist(tmp_path):
    ref = written(tmp_path)
    assert table_store.find(str(tmp_path), "cluster", "k") == ref
    (tmp_path / ref.folder / "manifest.json").unlink()
    assert table_store.find(str(tmp_path), "cluster", "k") is None


def test_the_same_rows_have_the_same_digest_in_another_folder(tmp_path):
    one, other = written(tmp_path / "a"), written(tmp_path / "b")
    assert one.digest == other.digest
    assert one.parts == other.parts


def test_a_store_that_was_moved_is_read_where_it_lies_now(tmp_path):
    written(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    found = table_store.find(str(tmp_path / "new"), "cluster", "k")
    assert found is not None
    assert table_store.read(found).num_rows == 1


def test_changed_bytes_are_noticed_on_reading(tmp_path):
    ref = written(tmp_path)
    part = tmp_path / ref.parts[0].path
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="changed after it was written"):
        table_store.read(ref)


def test_rows_of_another_schema_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="another schema"):
        Output(str(tmp_path), "cluster", "k").write(pa.table({"x": [1]}), CLUSTERS)


def test_the_manifest_says_what_went_in(tmp_path):
    ref = written(tmp_path)
    manifest = json.loads((tmp_path / ref.folder / "manifest.json").read_text())
    assert manifest["inputs"] == {"x": 1}
    assert manifest["table"]["digest"] == ref.digest
