from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

from presel.config.keys import digest
from presel.errors import IntegrityError
from presel.tables import schemas, table_store
from presel.tables.schemas import CLUSTERS, Rows, rows_of
from presel.tables.table_store import Output


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


def test_rows_of_a_large_table_are_those_of_the_whole_as_often_as_they_are_asked_for():
    part = pa.table({"sample_id": [f"{number:04d}" for number in range(1500)], "cluster": range(1500)})
    table = pa.concat_tables([part, part])
    rows = Rows(table)
    assert list(rows) == list(rows) == rows_of(table)
    assert list(table_store.decoded_rows(io.BytesIO(table_store.encode(table)), ["cluster"])) == rows_of(
        table.select(["cluster"])
    )


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


def say(path: Path, **fields: object) -> None:
    """Change a manifest the way another presel would have written it: without a checksum there is none to check."""
    document = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in document.items() if name != "sha256"}))


def test_an_output_of_an_older_format_is_made_again(tmp_path, monkeypatch):
    ref = written(tmp_path)
    monkeypatch.setattr(table_store, "FORMAT", schemas.FORMAT + 1)
    assert table_store.find(str(tmp_path), "cluster", "k") is None
    assert written(tmp_path) == ref
    assert table_store.find(str(tmp_path), "cluster", "k") == ref


def test_an_output_from_before_formats_were_named_is_of_the_first(tmp_path):
    ref = written(tmp_path)
    path = tmp_path / ref.folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["format"], document["sha256"]
    path.write_text(json.dumps(document))
    assert table_store.find(str(tmp_path), "cluster", "k") == ref


def test_an_output_of_a_newer_presel_is_refused_and_left_alone(tmp_path):
    ref = written(tmp_path)
    path = tmp_path / ref.folder / "manifest.json"
    say(path, format=schemas.FORMAT + 1, table={"shape": "unknown"})
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match=r"a newer presel wrote a manifest.*upgrade presel"):
        table_store.find(str(tmp_path), "cluster", "k")
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace('"rows": 1', '"rows": 3', 1)])
def test_a_damaged_manifest_says_what_to_delete(tmp_path, damage):
    ref = written(tmp_path)
    path = tmp_path / ref.folder / "manifest.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(IntegrityError, match=r"a manifest (changed|cannot be read).*made again"):
        table_store.find(str(tmp_path), "cluster", "k")


def test_a_table_with_other_columns_is_refused_in_words(tmp_path):
    out = Output(str(tmp_path), "cluster", "k")
    out.write(pa.table({"sample_id": ["a"]}), pa.schema([("sample_id", pa.string())]))
    ref = out.commit({})
    for columns in (None, ["sample_id", "cluster"]):
        with pytest.raises(IntegrityError, match=r"another version of presel made this table.*columns cluster"):
            table_store.read(ref, columns)
    assert table_store.read(ref, ["sample_id"]).num_rows == 1


SCHEMAS = {
    "CATALOG": "429c3f83",
    "REJECTS": "eb8786de",
    "REFERENCE": "f6c6d6da",
    "INSTRUCTIONS": "30d158a3",
    "RELEVANCE": "00f0ed17",
    "FIT": "1bb77947",
    "CLUSTERS": "36934169",
    "RANKING": "0b96440b",
    "KEPT": "d674901f",
    "SELECTION": "261b0d9f",
    "PAID": "34032d50",
    "PLAN": "ea74467e",
    "embeddings": "22362180",
    "samples": "bf556675",
}


def test_whoever_changes_a_schema_also_raises_the_version_of_the_stages_that_write_it():
    """The names and types of every table, as they were when a stage's version was last raised for them."""
    declared = {name: value for name, value in vars(schemas).items() if isinstance(value, pa.Schema)}
    declared |= {"embeddings": schemas.embeddings(1), "samples": schemas.samples(1)}
    found = {name: digest(str(schema).encode())[:8] for name, schema in declared.items()}
    assert found == SCHEMAS, "raise `version` in the stage, then put the new digest here"


def test_a_reason_that_is_not_in_the_list_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad luck"):
        Output(str(tmp_path), "cluster", "k").reject(task="t", key="a.jpg", id="1", reason="bad luck")
