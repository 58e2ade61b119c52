"""A version says of every record whether its file, opened plainly, shows what was instructed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from presel.config import ImageConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.dataset import plain, versions
from presel.sources import open_source
from presel.stages.publish import publish
from presel.tables.schemas import DatasetRef
from tests.export import pool
from tests.image_files import files
from tests.images.test_plainness import ODD, shows_the_same
from tests.report.synthetic import make

PICTURES = {**files(), **{name: data for name, (data, _) in ODD.items()}}
NONE = plain.PLAIN.empty_table()


def told(folder: Path, rows: list[dict[str, str]], known: pa.Table = NONE) -> dict[str, bool | None]:
    asked = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in ("sample_id", "key", "content")]))
    found = plain.told(asked, known, open_source(SourceConfig(uri=str(folder))), ImageConfig())
    return dict(zip(found["sample_id"].to_pylist(), found["plain"].to_pylist(), strict=True))


def said(version: DatasetRef) -> list[bool | None]:
    return pq.read_table(io.BytesIO(versions.file(version, "data.parquet")))["plain"].to_pylist()


def test_every_kind_of_picture_is_told_by_what_it_shows(tmp_path: Path) -> None:
    rows = []
    for name, data in PICTURES.items():
        (tmp_path / name).write_bytes(data)
        rows.append({"sample_id": sample_id(name, digest(data)), "key": name, "content": digest(data)})
    expected = {row["sample_id"]: shows_the_same(PICTURES[row["key"]]) for row in rows}
    assert {True, False} == set(expected.values())
    assert told(tmp_path, rows) == expected


def test_a_picture_that_is_gone_or_another_one_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(PICTURES["turned"])
    rows = [{"sample_id": key, "key": key, "content": digest(b"what was instructed")} for key in ("gone", "other")]
    assert told(tmp_path, rows) == {"gone": None, "other": None}


def test_what_the_version_before_says_is_taken_over_without_a_look(tmp_path: Path) -> None:
    tasks = ("chart", "photo")
    first = publish(make(tmp_path, tasks=tasks, per_task=60))
    assert set(said(first)) == {True}
    again = make(tmp_path, tasks=tasks, per_task=60, prefix="Well: ")
    shutil.move(tmp_path / "images", tmp_path / "away")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/left.txt").write_text("a source that is not empty")
    second = publish(again)
    assert (second.version, said(second)) == (2, said(first))


def test_a_version_of_an_older_presel_says_nothing(tmp_path: Path) -> None:
    assert list(plain.seen(None)) == []
    older = pool.publish(tmp_path, {"a/1.jpg": pool.photo(1)}, without=("plain",))
    assert list(plain.seen(older.dataset)) == []
