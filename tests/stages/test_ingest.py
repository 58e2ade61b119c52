"""The catalog grows, tells what changed, and reads nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from presel.concurrency import progress
from presel.config import SourceConfig
from presel.errors import SupplyError
from presel.sources import Source, listing
from presel.sources.catalog import changes, removed_ids
from presel.stages import ingest as stage
from presel.storage import Entry, open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.stages.pools import catalogue, keys, picture, put
from tests.storage_servers import address

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address(request.param, tmp_path / "store")


def counts(catalog: TableRef) -> dict[str, int]:
    return {name: table_store.facts(catalog)[name] for name in ("new", "kept", "changed", "removed")}


def present(catalog: TableRef) -> list[str]:
    """Keys the source holds now, according to the catalog."""
    gone = set(removed_ids(catalog).to_pylist())
    rows = table_store.read(catalog).to_pylist()
    return sorted(row["key"] for row in rows if row["image_id"] not in gone)


def test_a_fresh_catalog_holds_every_image_in_parts_sorted_by_key(uri: str, store: str) -> None:
    put(uri, *keys("b", *range(15)), *keys("a", *range(10)))
    catalog = catalogue(uri, store)
    assert [part.rows for part in catalog.parts] == [10, 10, 5]
    assert table_store.read(catalog)["key"].to_pylist() == keys("a", *range(10)) + keys("b", *range(15))
    assert counts(catalog) == {"new": 25, "kept": 0, "changed": 0, "removed": 0}
    assert table_store.facts(catalog)["listed"] == {"a": 10, "b": 15}


def test_a_catalog_of_too_many_parts_says_once_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(25)))
    monkeypatch.setattr(stage, "_AT_EASE", 2)
    for _ in range(2):
        catalogue(uri, store)
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith("3 parts of 10 images are as many task runs: set source.part_size to 1000")


def test_an_unchanged_pool_finds_its_catalog_and_reads_no_image(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(5)))
    first = catalogue(uri, store)
    for file in (tmp_path / "pool").rglob("*.jpg"):
        file.chmod(0)
    before = {entry.path: entry.etag for entry in open_store(store).list()}
    heard: list[progress.Progress] = []
    with progress.listening(heard.append):
        assert catalogue(uri, store) == first
    after = {entry.path: entry.etag for entry in open_store(store).list()}
    assert {path.rpartition("/")[2] for path in after if after[path] != before.get(path)} == {"changes.json"}
    assert "nothing changed" in heard[-1].note
    assert changes(first) == (0, 5, 0, 0)


def test_only_new_images_get_new_parts(uri: str, store: str) -> None:
    put(uri, *keys("a", *range(15)))
    first = catalogue(uri, store)
    put(uri, *keys("a", 100, 101), *keys("0-sorts-first", 1))
    second = catalogue(uri, store)
    assert second.parts[: len(first.parts)] == first.parts
    assert [part.rows for part in second.parts[len(first.parts) :]] == [3]
    assert counts(second) == {"new": 3, "kept": 15, "changed": 0, "removed": 0}


def test_removed_and_changed_images_are_told_apart_from_new_ones(uri: str, store: str) -> None:
    put(uri, *keys("a", *range(6)))
    catalogue(uri, store)
    open_store(uri).delete("a/000.jpg")
    open_store(uri).write("a/001.jpg", picture(9999))
    put(uri, "a/777.jpg")
    catalog = catalogue(uri, store)
    assert counts(catalog) == {"new": 1, "kept": 4, "changed": 1, "removed": 1}
    assert present(catalog) == ["a/001.jpg", "a/002.jpg", "a/003.jpg", "a/004.jpg", "a/005.jpg", "a/777.jpg"]


def test_an_image_that_comes_back_is_in_no_new_part(store: str, tmp_path: Path) -> None:
    uri = address("s3", tmp_path)  # a file that is written again has another time, and so another etag
    put(uri, *keys("a", *range(4)))
    first = catalogue(uri, store)
    kept = {key: open_store(uri).read(key) for key in keys("a", 0)}
    open_store(uri).delete("a/000.jpg")
    put(uri, "a/500.jpg")
    second = catalogue(uri, store)
    open_store(uri).write("a/000.jpg", kept["a/000.jpg"])
    third = catalogue(uri, store)
    assert present(second) == keys("a", 1, 2, 3, 500)
    assert present(third) == keys("a", 0, 1, 2, 3, 500)
    assert third.parts == second.parts
    assert third.parts[:1] == first.parts
    assert changes(third) == (1, 4, 0, 0)
    open_store(uri).delete("a/500.jpg")
    assert catalogue(uri, store) == first
    assert changes(first) == (0, 4, 0, 1)
    assert len(removed_ids(third)) == len(removed_ids(third, just_now=True)) == 0


def test_what_was_removed_once_is_not_removed_again(uri: str, store: str) -> None:
    put(uri, *keys("a", *range(4)))
    catalogue(uri, store)
    open_store(uri).delete("a/000.jpg")
    second = catalogue(uri, store)
    assert changes(second) == (0, 3, 0, 1)
    put(uri, "a/500.jpg")
    third = catalogue(uri, store)
    assert changes(third) == (1, 3, 0, 0)
    assert len(removed_ids(third)) == 1
    assert len(removed_ids(third, just_now=True)) == 0
    assert present(third) == keys("a", 1, 2, 3, 500)


def test_a_reupload_of_the_same_bytes_to_s3_changes_nothing(store: str, tmp_path: Path) -> None:
    uri = address("s3", tmp_path)
    put(uri, *keys("a", *range(4)))
    first = catalogue(uri, store)
    put(uri, *keys("a", *range(4)))
    assert catalogue(uri, store) == first


def test_the_same_pool_on_two_fresh_stores_gives_the_same_parts(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("b", *range(12)), *keys("a", *range(9)))
    one, other = (catalogue(uri, str(tmp_path / name)) for name in ("one", "other"))
    assert (one.key, one.digest, one.parts) == (other.key, other.digest, other.parts)


@pytest.mark.parametrize("damage", ["pointers gone", "pointers are nonsense", "a part is gone", "a part is damaged"])
def test_without_a_usable_catalog_before_a_full_one_is_made(tmp_path: Path, damage: str) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(12)))
    first = catalogue(uri, store)
    pointers = list((tmp_path / "store" / "catalogs").rglob("*.json"))
    part = tmp_path / "store" / first.parts[0].path
    match damage:
        case "pointers gone":
            for pointer in pointers:
                pointer.unlink()
        case "pointers are nonsense":
            for pointer in pointers:
                pointer.write_text("{")
        case "a part is gone":
            part.unlink()
        case _:
            part.write_bytes(part.read_bytes()[:-9])
    put(uri, "a/300.jpg")
    second = catalogue(uri, store)
    assert present(second) == keys("a", *range(12), 300)
    assert counts(second)["kept"] == 0
    assert table_store.read(second).num_rows == 13


def test_what_is_no_image_by_its_name_is_a_reject_and_counts_as_listed(uri: str, store: str) -> None:
    put(uri, *keys("a", 1, 2))
    for key in ("a/.DS_Store", "a/notes.txt", "loose.jpg"):
        open_store(uri).write(key, b"x")
    catalog = catalogue(uri, store)
    rejects = table_store.rejects(catalog).to_pylist()
    assert {(row["key"], row["task"], row["reason"]) for row in rejects} == {
        ("a/.DS_Store", "a", "not_an_image"),
        ("a/notes.txt", "a", "not_an_image"),
        ("loose.jpg", "", "no_task"),
    }
    assert table_store.facts(catalog)["listed"] == {"": 1, "a": 4}


def test_an_empty_source_is_an_error_and_takes_nothing_away(uri: str, store: str) -> None:
    put(uri, *keys("a", *range(3)))
    first = catalogue(uri, store)
    kept = {entry.path: open_store(uri).read(entry.path) for entry in list(open_store(uri).list())}
    for key in kept:
        open_store(uri).delete(key)
    with pytest.raises(SupplyError, match="no objects"):
        catalogue(uri, store)
    with pytest.raises(SupplyError):
        catalogue("/nowhere at all", store)
    put(uri, *keys("a", *range(3)))
    if uri.startswith("s3"):
        assert catalogue(uri, store) == first


class Endless(Source):
    """A source that lists 20,000 objects without holding them."""

    def entries(self, without: str | None = None) -> Iterator[tuple[str, str, Entry]]:
        for number in range(20_000):
            key = f"task{number % 50:02d}/some/folder/image-{number:012d}.jpg"
            yield key, self.tasks_of(key)[0], Entry(key, 50_000, f"{number:032x}")


def test_a_listing_is_not_held_as_python_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows live in arrow arrays, 200 bytes each; as Python objects these would take 12 MB."""
    monkeypatch.setattr(listing, "_BATCH", 1000)
    endless, store = Endless(SourceConfig(uri=str(tmp_path))), str(tmp_path / "store")
    listing.take_listing(endless, store, tmp_path)  # what libraries load on first use is not the listing's
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    taken = listing.take_listing(endless, store, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken.images.num_rows == 20_000
    assert pa.total_allocated_bytes() - before < 5e6
    assert peak < 3e6
