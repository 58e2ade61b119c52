import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from presel.dataset import versions
from presel.errors import AlreadyExists, IntegrityError, NotFound
from presel.storage import open_store

FILES = {"data.parquet": b"rows", "card.md": b"words"}


def publish(store: str, content: str, files: dict[str, bytes] = FILES) -> int:
    number = versions.claim(store, "drawn", {"content": content})
    about = {"content": content, "before": None, "records": 2}
    return versions.complete(store, "drawn", number, files, about, {"created": "now"}).version


def test_numbers_follow_each_other_and_latest_names_the_newest(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert versions.latest(store, "drawn") is None
    assert [publish(store, "a"), publish(store, "b")] == [1, 2]
    assert versions.versions(store, "drawn") == [1, 2]
    assert versions.latest(store, "drawn") == versions.find(store, "drawn", 2)
    assert json.loads(open_store(store).read("datasets/drawn/latest.json"))["version"] == 2


def test_a_claim_without_a_manifest_is_no_version(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert versions.claim(store, "drawn", {"content": "a"}) == 1
    assert versions.versions(store, "drawn") == []
    with pytest.raises(NotFound, match="has no version 1"):
        versions.find(store, "drawn", 1)


def test_the_same_promise_finishes_a_crashed_version_and_another_takes_the_next_number(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert versions.claim(store, "drawn", {"content": "a"}) == 1  # and the machine dies
    assert publish(store, "b") == 2
    assert publish(store, "a") == 1
    assert json.loads(open_store(store).read("datasets/drawn/latest.json"))["version"] == 2


def test_whoever_promises_what_a_twin_has_just_published_gets_that_version_and_writes_nothing(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert publish(store, "a") == 1
    when = (tmp_path / "datasets/drawn/1/card.md").stat().st_mtime_ns
    assert publish(store, "a") == 1
    assert versions.versions(store, "drawn") == [1]
    assert (tmp_path / "datasets/drawn/1/card.md").stat().st_mtime_ns == when


def test_an_older_version_that_is_finished_late_does_not_become_the_latest(tmp_path: Path) -> None:
    store = str(tmp_path)
    versions.claim(store, "drawn", {"content": "a"})
    publish(store, "b")
    publish(store, "a")
    assert json.loads(open_store(store).read("datasets/drawn/latest.json"))["version"] == 2


def test_sixteen_racers_with_different_contents_get_sixteen_numbers(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda i: publish(str(tmp_path), f"content {i}"), range(16)))
    assert sorted(numbers) == list(range(1, 17))


def test_racing_twins_publish_one_version_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(lambda _: versions.claim(str(tmp_path), "drawn", {"content": "same"}), range(4)))
    assert numbers == {1}


def test_a_finished_twin_s_manifest_stands(tmp_path: Path) -> None:
    store = str(tmp_path)
    number = versions.claim(store, "drawn", {"content": "a"})
    about = {"content": "a", "before": None, "records": 2}
    first = versions.complete(store, "drawn", number, FILES, about, {"created": "first"})
    second = versions.complete(store, "drawn", number, FILES, about, {"created": "second"})
    assert first == second
    assert versions.manifest(second)["run"] == {"created": "first"}
    with pytest.raises(AlreadyExists):
        open_store(store).create("datasets/drawn/1/manifest.json", b"{}")


def test_one_name_that_begins_like_another_does_not_see_its_versions(tmp_path: Path) -> None:
    versions.claim(str(tmp_path), "drawn-2", {"content": "a"})
    assert versions.claim(str(tmp_path), "drawn", {"content": "a"}) == 1


def test_a_changed_or_missing_file_is_named(tmp_path: Path) -> None:
    publish(str(tmp_path), "a")
    ref = versions.find(str(tmp_path), "drawn", 1)
    assert versions.verify(ref) == []
    (tmp_path / "datasets/drawn/1/card.md").write_bytes(b"other words")
    (tmp_path / "datasets/drawn/1/data.parquet").unlink()
    assert [line.partition(":")[0] for line in versions.verify(ref)] == ["card.md", "data.parquet"]
    with pytest.raises(IntegrityError, match="changed"):
        versions.file(ref, "card.md")


def test_a_version_of_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    publish(str(tmp_path), "a")
    path = tmp_path / "datasets/drawn/1/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": versions.FORMAT + 1}))
    with pytest.raises(IntegrityError, match="upgrade presel"):
        versions.find(str(tmp_path), "drawn", 1)


def test_a_changed_manifest_is_named(tmp_path: Path) -> None:
    publish(str(tmp_path), "a")
    ref = versions.find(str(tmp_path), "drawn", 1)
    path = tmp_path / "datasets/drawn/1/manifest.json"
    path.write_text(path.read_text().replace('"records": 2', '"records": 3'))
    assert versions.verify(ref) == ["manifest.json: this version changed after it was written"]
    path.unlink()
    assert versions.verify(ref)[0].startswith("manifest.json: ")


def test_a_version_from_before_formats_were_named_is_read(tmp_path: Path) -> None:
    publish(str(tmp_path), "a")
    path = tmp_path / "datasets/drawn/1/manifest.json"
    document = json.loads(path.read_text())
    del document["format"], document["sha256"]
    path.write_text(json.dumps(document))
    assert versions.find(str(tmp_path), "drawn", 1).records == 2


def test_the_digest_tells_versions_of_the_same_content_apart(tmp_path: Path) -> None:
    publish(str(tmp_path), "a")
    publish(str(tmp_path), "b")
    assert versions.find(str(tmp_path), "drawn", 1).digest != versions.find(str(tmp_path), "drawn", 2).digest
