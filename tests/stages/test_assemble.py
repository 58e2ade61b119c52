"""One part per task, one row per sample, nothing that depends on when or where the pool was listed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from presel.cli.app import app
from presel.config import RefreshConfig
from presel.config.file import load
from presel.config.keys import digest, sample_id
from presel.demo.pool import write_pool
from presel.demo.salt import SALT
from presel.errors import SupplyError
from presel.stages.assemble import TASKS
from presel.stages.shrinkage import check_pool
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef, samples
from tests.stages.pools import keys, picture, put, run
from tests.storage_servers import address

pytestmark = pytest.mark.usefixtures("server")


def counts(ref: TableRef, what: str) -> dict[str, int]:
    return {task: count[what] for task, count in json.loads(table_store.file(ref, TASKS)).items()}


def test_there_is_one_part_per_task_sorted_by_sample_id(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("b", *range(14)), *keys("a", *range(9)), *keys("c", 1))
    ref = run(uri, str(tmp_path / "store")).samples
    assert [(part.label, part.rows) for part in ref.parts] == [("a", 9), ("b", 14), ("c", 1)]
    for part in ref.split():
        table = table_store.read(part)
        assert table.schema == samples(table.schema.field("vector").type.list_size)
        assert table["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
        for row in table.to_pylist():
            content = digest(open_store(uri).read(row["key"]))
            assert (row["content"], row["sample_id"]) == (content, sample_id(part.label, content))


def test_of_equal_bytes_in_a_task_the_smallest_key_stays(uri: str, tmp_path: Path) -> None:
    for key in ("a/z.jpg", "a/b.jpg", "a/m.png", "b/b.jpg"):
        open_store(uri).write(key, picture(1))
    put(uri, *keys("a", *range(12)))
    ref = run(uri, str(tmp_path / "store"), part_size=4).samples
    assert ref.rows == 14
    rejects = table_store.rejects(ref).to_pylist()
    assert {(row["key"], row["reason"], row["detail"]) for row in rejects} == {
        ("a/m.png", "duplicate", "the same bytes as a/b.jpg"),
        ("a/z.jpg", "duplicate", "the same bytes as a/b.jpg"),
    }


def test_samples_do_not_depend_on_parts_times_or_place(tmp_path: Path) -> None:
    first, second = tmp_path / "pool", tmp_path / "copy"
    put(str(first), *keys("b", *range(14)), *keys("a", *range(9)))
    shutil.copytree(first, second)
    for file in second.rglob("*.jpg"):
        os.utime(file, (1, 1))
    bucket = address("s3", tmp_path)
    for entry in open_store(str(first)).list():
        open_store(bucket).write(entry.path, open_store(str(first)).read(entry.path))
    one = run(str(first), str(tmp_path / "one"), part_size=1000).samples
    other = run(str(second), str(tmp_path / "other"), part_size=3).samples
    third = run(bucket, str(tmp_path / "third"), part_size=5).samples
    assert one.digest == other.digest == third.digest
    assert [part.digest for part in one.parts] == [part.digest for part in other.parts]


def test_a_history_of_changes_ends_at_the_same_samples_as_a_fresh_start(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(12)), *keys("b", *range(5)))
    store = str(tmp_path / "store")
    before = run(uri, store, part_size=5)
    open_store(uri).delete("a/003.jpg")
    open_store(uri).write("a/004.jpg", picture(123_456))
    open_store(uri).delete("b/000.jpg")
    put(uri, "0/new.jpg", "b/100.jpg")
    after = run(uri, store, part_size=5)
    fresh = run(uri, str(tmp_path / "fresh"), part_size=5)
    assert after.samples.digest == fresh.samples.digest != before.samples.digest
    assert after.embeddings[: len(before.embeddings)] == before.embeddings
    assert counts(after.samples, "images") == {"0": 1, "a": 11, "b": 5}


def test_a_duplicate_whose_kept_twin_is_removed_takes_its_place(uri: str, tmp_path: Path) -> None:
    open_store(uri).write("a/1.jpg", picture(1))
    open_store(uri).write("a/2.jpg", picture(1))
    put(uri, *keys("a", 5))
    run(uri, str(tmp_path / "store"))
    open_store(uri).delete("a/1.jpg")
    ref = run(uri, str(tmp_path / "store")).samples
    assert "a/2.jpg" in table_store.read(ref)["key"].to_pylist()
    assert ref.rejects == 0


def test_a_task_without_a_usable_image_is_counted(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", 1, 2))
    open_store(uri).write("broken/1.jpg", b"no picture")
    open_store(uri).write("empty/1.jpg", b"")
    ref = run(uri, str(tmp_path / "store")).samples
    assert counts(ref, "images") == {"a": 2, "broken": 1, "empty": 1}
    assert counts(ref, "usable") == {"a": 2, "broken": 0, "empty": 0}


def test_a_pool_without_one_usable_image_says_so(uri: str, tmp_path: Path) -> None:
    open_store(uri).write("a/1.jpg", b"no picture")
    open_store(uri).write("top.jpg", picture(1))
    open_store(uri).write("top too.jpg", picture(2))
    store = str(tmp_path / "store")
    settings = {"source": {"uri": uri}, "store": store, "generator": {"max_cost": 1}}
    config = RefreshConfig.model_validate(settings)
    done = run(uri, store)
    with pytest.raises(
        SupplyError, match=r"no image of the pool is usable.*2 no_task, 1 not_an_image.*top.*source\.tasks"
    ):
        check_pool(done.catalog, done.embeddings, done.samples, config)


def test_where_a_plan_fails_what_there_is_can_be_looked_at(tmp_path: Path) -> None:
    pool, store = tmp_path / "pool", str(tmp_path / "store")
    pool.mkdir()
    (pool / "top.jpg").write_bytes(picture(1))
    file = tmp_path / "presel.yaml"
    file.write_text("source:\n  uri: pool\nstore: store\ngenerator:\n  max_cost: 1\n")
    done = run(str(pool), store)
    with pytest.raises(SupplyError):
        check_pool(done.catalog, done.embeddings, done.samples, load(file))
    told = CliRunner().invoke(app, ["status", "-c", str(file)]).stdout
    assert told.index("1 rejected: no_task, for example top.jpg") < told.index("1 images listed, 0 usable samples")
    assert "rejected at ingest: no_task" in CliRunner().invoke(app, ["explain", "top.jpg", "-c", str(file)]).stdout
    missing = CliRunner().invoke(app, ["report", "-c", str(file)])
    assert "`presel status` shows what there is" in str(missing.exception)


def test_every_file_of_the_salted_demo_pool_has_the_fate_it_deserves(tmp_path: Path) -> None:
    uri, listed = str(tmp_path / "pool"), []

    def keep(key: str, data: bytes) -> None:
        listed.append(key)
        open_store(uri).write(key, data)

    write_pool(keep, images=60, seed=0)
    done = run(uri, str(tmp_path / "store"), part_size=40)
    refs = [done.catalog, *done.embeddings, done.samples]
    rejected = {row["key"]: row["reason"] for ref in refs for row in table_store.rejects(ref).to_pylist()}
    usable = set(table_store.read(done.samples)["key"].to_pylist())
    assert usable.isdisjoint(rejected)
    assert usable | set(rejected) == set(listed)
    wrong = {
        salted.key: (rejected.get(salted.key), salted.reason)
        for salted in SALT
        if salted.reason != "duplicate" and rejected.get(salted.key) not in (salted.reason, "duplicate")
    }
    assert not wrong
    assert sum(counts(done.samples, "images").values()) == len(listed)
    assert sum(counts(done.samples, "usable").values()) == len(usable)


def test_what_was_uploaded_again_unchanged_is_told_from_what_changed(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(6)))
    before = run(uri, store)
    assert table_store.facts(before.samples)["reuploaded"] == 0
    for key in keys("a", 1, 2):  # a file that is written again has another time, and so another etag
        open_store(uri).write(key, open_store(uri).read(key))
    open_store(uri).write("a/003.jpg", picture(77))
    after = run(uri, store)
    facts = table_store.facts(after.catalog)
    assert [facts[name] for name in ("new", "kept", "changed", "removed")] == [0, 3, 3, 0]
    assert table_store.facts(after.samples)["reuploaded"] == 2
    assert after.samples.rows == 6
