"""What is there, which task it belongs to, and what happens when it changes while it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from presel.config import SourceConfig
from presel.demo.setting import environment
from presel.errors import NotFound, StorageUnavailable
from presel.images import Reason, Rejected
from presel.sources import SINGLE_TASK, Source, open_source
from presel.sources.listing import Listing, take_listing
from presel.storage import open_store
from tests.storage_servers import address

pytestmark = pytest.mark.usefixtures("server")


def source(uri: str, **settings: object) -> Source:
    return open_source(SourceConfig.model_validate({"uri": uri, **settings}))


def put(uri: str, *keys: str) -> None:
    for key in keys:
        open_store(uri).write(key, f"bytes of {key}".encode())


def listed(listing: Listing) -> pa.Table:
    return pa.concat_tables(listing.images.ranges())


def test_the_first_folder_of_a_key_is_its_task(uri: str) -> None:
    put(uri, "chart/a.jpg", "photo/2024/b c.jpg", "root.jpg")
    tasks = {key: task for key, task, _ in source(uri).entries()}
    assert tasks == {"chart/a.jpg": "chart", "photo/2024/b c.jpg": "photo", "root.jpg": ""}


def test_a_single_task_source_has_one_task_for_all(uri: str) -> None:
    put(uri, "chart/a.jpg", "root.jpg")
    assert {task for _, task, _ in source(uri, tasks="single").entries()} == {SINGLE_TASK}


def test_a_store_inside_the_source_is_not_part_of_the_pool(uri: str) -> None:
    put(uri, "chart/a.jpg", "store/tables/x.parquet", "store2/b.jpg")
    keys = {key for key, _, _ in source(uri).entries(without=f"{open_store(uri).uri}/store")}
    assert keys == {"chart/a.jpg", "store2/b.jpg"}
    assert {key for key, _, _ in source(uri).entries(without="/elsewhere")} == keys | {"store/tables/x.parquet"}


def test_an_object_that_vanished_or_changed_since_listing_is_a_reject(uri: str) -> None:
    put(uri, "t/stays.jpg", "t/goes.jpg", "t/changes.jpg")
    opened = source(uri)
    etags = {key: entry.etag for key, _, entry in opened.entries()}
    open_store(uri).delete("t/goes.jpg")
    open_store(uri).write("t/changes.jpg", b"something else altogether")
    assert opened.read("t/stays.jpg", etags["t/stays.jpg"]) == b"bytes of t/stays.jpg"
    gone, changed = opened.read("t/goes.jpg", etags["t/goes.jpg"]), opened.read("t/changes.jpg", etags["t/changes.jpg"])
    assert isinstance(gone, Rejected)
    assert isinstance(changed, Rejected)
    assert (gone.reason, changed.reason) == (Reason.UNREADABLE, Reason.CHANGED)
    assert opened.read("t/changes.jpg") == b"something else altogether"


def test_a_server_that_stays_away_ends_the_run_and_rejects_no_image() -> None:
    with (
        environment(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1"),
        pytest.raises(StorageUnavailable),
    ):
        source("s3://bucket").read("t/a.jpg", "etag")


def test_what_listing_alone_refuses_has_its_reason(uri: str, tmp_path: Path) -> None:
    put(uri, "t/a.jpg", "t/.DS_Store", "t/Thumbs.db", "t/notes.txt", "loose.jpg")
    open_store(uri).write("t/empty.jpg", b"")
    listing = take_listing(source(uri), str(tmp_path / "store"), tmp_path)
    assert listed(listing)["key"].to_pylist() == ["t/a.jpg"]
    assert {row["key"]: row["reason"] for row in listing.rejects} == {
        "loose.jpg": "no_task",
        "t/.DS_Store": "not_an_image",
        "t/Thumbs.db": "not_an_image",
        "t/empty.jpg": "zero_byte",
        "t/notes.txt": "not_an_image",
    }
    assert listing.per_task == {"": 1, "t": 5}


def test_an_archived_object_is_a_reject(tmp_path: Path) -> None:
    from presel.storage.s3 import client

    uri = address("s3", tmp_path)
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for name, kind in (("cold.jpg", "GLACIER"), ("colder.jpg", "DEEP_ARCHIVE"), ("warm.jpg", "STANDARD_IA")):
        client().put_object(Bucket=bucket, Key=f"{prefix}/t/{name}", Body=b"x", StorageClass=kind)  # type: ignore[arg-type]
    listing = take_listing(source(uri), str(tmp_path / "store"), tmp_path)
    assert listed(listing)["key"].to_pylist() == ["t/warm.jpg"]
    assert {row["reason"] for row in listing.rejects} == {"archived"}


def test_a_name_that_is_not_utf8_is_a_reject_and_not_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "pool" / "t"
    folder.mkdir(parents=True)
    (folder / "fine.jpg").write_bytes(b"x")
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(b"x")
    listing = take_listing(source(str(tmp_path / "pool")), str(tmp_path / "store"), tmp_path)
    assert listing.images.num_rows == 1
    assert [(row["reason"], row["key"]) for row in listing.rejects] == [("unreadable", "t/caf\\udce9.jpg")]


def test_the_digest_of_a_listing_does_not_depend_on_its_order(uri: str, tmp_path: Path) -> None:
    put(uri, *(f"task{number % 3}/{number}.jpg" for number in range(30)), "task0/x.txt")
    opened = source(uri)

    class Shuffled(Source):
        def entries(self, without: str | None = None):  # type: ignore[no-untyped-def]
            return reversed(list(super().entries(without)))

    there, back = (take_listing(one, str(tmp_path), tmp_path) for one in (opened, Shuffled(opened.config)))
    assert listed(there).equals(listed(back))
    assert there.digest == back.digest
    put(uri, "task1/one more.jpg")
    assert take_listing(opened, str(tmp_path), tmp_path).digest != there.digest


def test_a_folder_that_went_away_ends_the_run_and_one_picture_that_did_is_its_own_reject(tmp_path: Path) -> None:
    (tmp_path / "pool" / "t").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "pool" / "t" / name).write_bytes(b"x")
    source = open_source(SourceConfig(uri=str(tmp_path / "pool")))
    (tmp_path / "pool" / "t" / "a.jpg").unlink()
    gone = source.read("t/a.jpg")
    assert isinstance(gone, Rejected)
    assert gone.reason == "unreadable"
    (tmp_path / "pool").rename(tmp_path / "unmounted")
    with pytest.raises(
        NotFound, match=r"pool: the source held images .*, and nothing now; check whether it is mounted"
    ):
        source.read("t/b.jpg")
