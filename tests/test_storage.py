"""The same promises on a local folder and on S3 over HTTP."""

from __future__ import annotations

import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote

import pytest

from presel.demo.setting import environment
from presel.errors import AlreadyExists, InputError, NotFound, ObjectChanged, StorageError, StorageUnavailable
from presel.storage import Entry, Store, open_store, s3_bulk
from presel.storage.s3 import client
from presel.storage.s3_listing import Page, Range, walk
from tests.storage_servers import address

HOSTILE = [
    "plain.jpg",
    "with space.jpg",
    "a+b & c.jpg",
    "100%20sure.jpg",
    "half%.jpg",
    "what?.jpg",
    "items #3.jpg",
    "ünï/海の写真.jpg",
    "e\u0301 decomposed.jpg",
    "🌄.jpg",
    "quote'\".jpg",
    "[x]{y}|^`<>.jpg",
    "back\\slash.jpg",
    "tilde~*!();:@=$,.jpg",
    "deep/er/and/deeper.jpg",
    ".hidden",
]


pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(address(request.param, tmp_path))


@pytest.mark.parametrize("key", HOSTILE)
def test_what_is_written_is_read_back_whatever_its_key(store: Store, key: str) -> None:
    store.write(key, key.encode())
    assert store.read(key) == key.encode()
    assert store.exists(key)
    assert [entry.path for entry in store.list()] == [key]


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_an_open_file_is_written_whole_wherever_it_stands_and_stays_open(store: Store, size: int) -> None:
    with TemporaryFile() as file:
        file.write(b"x" * size)
        for path in ("one", "two"):
            store.write(path, file)
            assert store.read(path) == b"x" * size


def test_listing_and_walking_find_the_same_objects(store: Store) -> None:
    for key in HOSTILE:
        store.write(key, b"x" * len(key))
    listed, walked = list(store.list()), list(store.walk())
    assert sorted(listed) == sorted(walked)
    assert sorted(entry.path for entry in listed) == sorted(HOSTILE)
    assert {entry.path: entry.size for entry in listed} == {key: len(key) for key in HOSTILE}


def test_a_prefix_lists_only_what_starts_with_it(store: Store) -> None:
    for key in ("a/1", "a/2", "ab/3", "b/4"):
        store.write(key, b"x")
    assert {entry.path for entry in store.list("a/")} == {"a/1", "a/2"}
    assert {entry.path for entry in store.list("a")} == {"a/1", "a/2", "ab/3"}
    assert not list(store.list("nothing/"))


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list()) == list(store.walk()) == []


def test_what_is_missing_says_not_found_and_where(store: Store) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.jpg"):
        store.read("nowhere.jpg")
    assert not store.exists("nowhere.jpg")
    store.delete("nowhere.jpg")


def test_of_racing_creators_one_wins(store: Store) -> None:
    barrier = threading.Barrier(8)

    def create(number: int) -> bool:
        barrier.wait()
        try:
            store.create("claim", str(number).encode())
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert sum(won) == 1
    assert store.read("claim") == str(won.index(True)).encode()


def test_a_version_is_read_only_while_it_is_the_one_that_was_listed(store: Store) -> None:
    for key in ("task/a.jpg", "task//odd.jpg" if "s3" in store.uri else "task/odd.jpg"):
        store.write(key, b"before")
        etag = next(entry.etag for entry in store.list() if entry.path == key)
        assert store.read_version(key, etag) == b"before"
        store.write(key, b"after, and longer")
        with pytest.raises(ObjectChanged):
            store.read_version(key, etag)
        with pytest.raises(NotFound):
            store.read_version("task/gone.jpg", etag)


def test_an_unchanged_object_keeps_its_etag_and_a_changed_one_does_not(store: Store) -> None:
    store.write("a", b"one")
    first, again = list(store.list()), list(store.list())
    store.write("a", b"two!")
    assert first == again
    assert first != list(store.list())


def test_keys_that_no_file_system_has_are_read_from_s3() -> None:
    store = open_store(address("s3", Path()))
    for key in ("a//b.jpg", "x/../y.jpg", "./z.jpg", "tab\there.jpg", "ends/"):
        assert not s3_bulk.admits(key)
        store.write(key, key.encode())
        assert store.read(key) == key.encode()


def test_a_wide_bucket_is_walked_whole_by_parallel_requests() -> None:
    pages: list[Range] = []
    keys = [f"task{task:02d}/{image:04d}.jpg" for task in range(40) for image in range(55)] + ["root.txt"]

    def fetch(asked: Range) -> Page:
        """A server with 20 keys a page."""
        pages.append(asked)
        below = sorted(key for key in keys if key.startswith(asked.prefix) and key > (asked.token or ""))
        if asked.one_level:
            folders = sorted({f"{key.partition('/')[0]}/" for key in below if "/" in key})
            return Page([Entry(key, 1, "e") for key in below if "/" not in key], folders, None)
        more = below[19] if len(below) > 20 else None
        return Page([Entry(key, 1, "e") for key in below[:20]], [], more)

    assert sorted(entry.path for entry in walk(fetch, "")) == sorted(keys)
    assert len(pages) == 1 + 40 * 3


def test_a_flat_bucket_is_not_split_into_a_request_for_each_folder() -> None:
    asked_for: list[Range] = []

    def fetch(asked: Range) -> Page:
        asked_for.append(asked)
        if asked.one_level:
            return Page([], [f"{number}/" for number in range(1000)], "more")
        return Page([Entry(f"{number}/image.jpg", 1, "e") for number in range(1000)], [], None)

    assert len(list(walk(fetch, ""))) == 1000
    assert len(asked_for) == 2


def test_a_listing_that_fails_on_one_prefix_fails_as_a_whole() -> None:
    def fetch(asked: Range) -> Page:
        if asked.prefix == "b/":
            raise StorageUnavailable("no")
        return Page([], ["a/", "b/"] if asked.prefix == "" else [], None)

    with pytest.raises(StorageUnavailable):
        list(walk(fetch, ""))


def test_another_endpoint_in_the_environment_is_another_client(server: str) -> None:
    assert client().meta.endpoint_url == server
    with environment(AWS_ENDPOINT_URL="http://127.0.0.1:9"):
        assert client().meta.endpoint_url == "http://127.0.0.1:9"
    assert client().meta.endpoint_url == server


def test_a_server_that_is_not_there_is_unavailable_and_not_missing() -> None:
    with (
        environment(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1"),
        pytest.raises(StorageUnavailable, match="AWS_ENDPOINT_URL"),
    ):
        open_store("s3://bucket").exists("x")
    with (
        environment(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1"),
        pytest.raises(StorageUnavailable, match="AWS_ENDPOINT_URL"),
    ):
        open_store("s3://bucket").read("x")


def test_a_path_cannot_leave_a_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "inside"))
    for path in ("../outside", "a/../../outside", "/etc/hostname"):
        with pytest.raises(InputError):
            store.read(path)


def test_what_is_no_plain_file_is_listed_but_not_waited_for(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone")
    assert {entry.path for entry in store.list()} == {"pipe.jpg", "dangling.jpg"}
    for path in ("pipe.jpg", "dangling.jpg"):
        with pytest.raises(NotFound):
            store.read(path)


def test_a_half_written_file_is_never_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("whole", b"x")
    (tmp_path / ".presel-write-abc").write_bytes(b"half")
    assert [entry.path for entry in store.list()] == ["whole"]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_link_is_signed_as_every_server_accepts_it_in_every_region(tmp_path: Path, region: str) -> None:
    uri = address("s3", tmp_path)
    with environment(AWS_DEFAULT_REGION=region):
        link = open_store(uri).link("page.html", "text/html")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link
    assert "X-Amz-Expires=604800" in link


def test_a_link_for_another_name_of_the_same_server_is_signed_for_that_name_and_any_other_address_is_left_alone(
    tmp_path: Path,
) -> None:
    store = open_store(address("s3", tmp_path))
    bucket = store.uri.removeprefix("s3://").strip("/")
    link = store.link("page.html", "text/html", f"http://browsers.example:9000/{bucket}/")
    assert link.startswith(f"http://browsers.example:9000/{quote(bucket)}/page.html?")
    assert "X-Amz-SignedHeaders=host&X-Amz-Signature=" in link
    assert store.link("page.html", "text/html", "https://cdn.example/x/") == "https://cdn.example/x/page.html"


def test_a_folder_that_takes_no_more_says_where_and_what_to_do_and_keeps_what_was_there(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("a", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError) as caught:
            store.write("a", bytes(8192))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.where == str(tmp_path / "a")
    assert "ulimit -f" in str(caught.value)
    assert store.read("a") == b"before"
    assert list(store.leftovers()) == []
