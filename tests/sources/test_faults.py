"""A source on S3 while the server, or the way to it, misbehaves: what costs one image, what is survived, what ends the run."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from presel.config import SourceConfig
from presel.config.keys import digest
from presel.demo.setting import environment
from presel.errors import AlreadyExists, ObjectChanged, StorageError, StorageUnavailable
from presel.images import Rejected
from presel.sources import open_source
from presel.stages.ingest import ingest
from presel.storage import open_store, s3_bulk, s3_client, s3_deadline
from presel.storage.s3 import client
from presel.tables import table_store
from tests.s3_faults import Mood, faulty
from tests.stages.pools import keys, picture, put, run
from tests.storage_servers import new_bucket


@pytest.fixture(scope="module")
def proxied(server: str) -> Iterator[Mood]:
    with environment(AWS_MAX_ATTEMPTS="4"), faulty(server) as mood:
        yield mood


@pytest.fixture
def mood(proxied: Mood) -> Mood:
    """The proxy's, as if it had been started now: a client for each test would take a third of a second."""
    proxied.lists.clear()
    proxied.writes.clear()
    proxied.asked.clear()
    proxied.denied = ""
    proxied.unknown, proxied.refused = {}, 0
    s3_client._left_out.clear()
    return proxied


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a second in place of a minute."""
    monkeypatch.setattr(s3_deadline, "GRACE", 1.0)
    monkeypatch.setattr(s3_deadline, "SLOWEST", 1000)
    monkeypatch.setattr(s3_bulk, "LONGEST", timedelta(seconds=1))


@pytest.mark.parametrize("fault", ["slowdown", "broken", "reset", "cut", "garbled", "portal"])
def test_a_listing_that_goes_wrong_is_made_again_and_has_no_holes(fault: str, mood: Mood) -> None:
    uri = new_bucket()
    put(uri, *keys("a", 1, 2), *keys("b", 3))
    mood.lists = deque([fault] if fault == "slowdown" else [fault, "", fault])  # being throttled slows boto3 down
    assert sorted(key for key, _, _ in open_source(SourceConfig(uri=uri)).entries()) == [
        *keys("a", 1, 2),
        *keys("b", 3),
    ]
    assert not mood.lists


def test_a_folder_that_may_not_be_listed_is_listed_from_above_and_costs_its_own_images_only(
    mood: Mood, tmp_path: Path
) -> None:
    uri = new_bucket()
    put(uri, *keys("open", *range(4)), *keys("secret", *range(3)), *keys("secret-too", 1), *keys("zoo", 1))
    mood.denied = "/secret/"
    done = run(uri, str(tmp_path))
    assert {part.label: part.rows for part in done.samples.parts} == {"open": 4, "secret-too": 1, "zoo": 1}
    refused = [row for ref in done.embeddings for row in table_store.rejects(ref).to_pylist()]
    assert [(row["key"], row["reason"]) for row in refused] == [(key, "unreadable") for key in keys("secret", 0, 1, 2)]


def test_a_bucket_that_may_not_be_listed_at_all_ends_the_run_and_says_where(mood: Mood, tmp_path: Path) -> None:
    uri = new_bucket()
    put(uri, *keys("a", 1))
    mood.denied = "below"
    with pytest.raises(StorageError, match=r"s3://bucket-.*AccessDenied") as caught:
        ingest(SourceConfig(uri=uri), str(tmp_path))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("path", ["t/{}/a.jpg", "t/{}//odd.jpg"])
@pytest.mark.parametrize("fault", ["broken", "trickle", "stalled"])
@pytest.mark.usefixtures("quick")
def test_an_object_on_which_the_server_always_fails_costs_that_image(
    fault: str, path: str, mood: Mood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by obstore, and by boto3 where the key is one that obstore cannot name."""
    uri = new_bucket()
    put(uri, "t/fine/1.jpg", path.format(fault))
    monkeypatch.setattr("presel.storage.s3_client.READ_TIMEOUT", 1)
    with environment(AWS_MAX_ATTEMPTS="2"):
        source = open_source(SourceConfig(uri=uri))
        got = {key: source.read(key, entry.etag, entry.size) for key, _, entry in source.entries()}
    refused = got.pop(path.format(fault))
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.detail) == ("unreadable", "the server failed at every attempt to read it")
    assert all(isinstance(data, bytes) for data in got.values())


@pytest.mark.parametrize("fault", ["slowdown", "reset", "cut", "short", "drip"])
def test_what_obstore_cannot_name_is_read_through_passing_faults_too(fault: str, mood: Mood) -> None:
    uri = new_bucket()
    put(uri, f"t/{fault}//odd.jpg")
    source = open_source(SourceConfig(uri=uri))
    ((key, _, entry),) = source.entries()
    data = source.read(key, entry.etag, entry.size)
    assert isinstance(data, bytes)
    assert len(data) == entry.size


@pytest.mark.parametrize("fault", ["short", "zeros", "page", "refused", "gone", "cut", "reset"])
def test_a_picture_that_comes_wrong_once_is_read_again(fault: str, mood: Mood) -> None:
    """When it is embedded and when it is instructed. A key's fault is over after the first read, so each has its own."""
    uri = new_bucket()
    put(uri, f"t/{fault}/listed.jpg", f"t/{fault}/chosen.jpg", f"t/{fault}//odd.jpg", "t/fine.jpg")
    right = {key: picture(zlib.crc32(key.encode())) for key in (f"t/{fault}/chosen.jpg", f"t/{fault}//odd.jpg")}
    source = open_source(SourceConfig(uri=uri))
    entries = {key: entry for key, _, entry in source.entries()}
    listed = entries[f"t/{fault}/listed.jpg"]
    assert digest(source.read(listed.path, listed.etag, listed.size)) == listed_digest(listed.path)
    for key, data in right.items():
        assert source.read_content(key, digest(data)) == data


def listed_digest(key: str) -> str:
    return digest(picture(zlib.crc32(key.encode())))


@pytest.mark.parametrize("fault", ["always-short", "always-zeros", "forbidden"])
def test_a_picture_that_never_comes_right_is_unreadable_and_not_called_changed(fault: str, mood: Mood) -> None:
    uri, key = new_bucket(), f"t/{fault}/1.jpg"
    put(uri, key)
    refused = open_source(SourceConfig(uri=uri)).read_content(key, listed_digest(key))
    assert isinstance(refused, Rejected)
    assert refused.reason == "unreadable"


def test_a_picture_that_was_overwritten_is_called_changed(uri: str) -> None:
    put(uri, "t/1.jpg")
    open_store(uri).write("t/1.jpg", picture(1))
    refused = open_source(SourceConfig(uri=uri)).read_content("t/1.jpg", listed_digest("t/1.jpg"))
    assert isinstance(refused, Rejected)
    assert refused.reason == "changed"


@pytest.mark.parametrize("first", [True, False])
def test_how_many_objects_may_fail_does_not_depend_on_their_order(first: bool, mood: Mood) -> None:
    uri = new_bucket()
    broken, fine = [f"t/broken/{number}.jpg" for number in range(4)], [f"t/{number}.jpg" for number in range(3)]
    put(uri, *broken, *fine)
    source = open_source(SourceConfig(uri=uri))
    source.expect(400)
    with environment(AWS_MAX_ATTEMPTS="1"):
        got = list(map(source.read, [*broken, *fine] if first else [*fine, *broken]))
    assert sum(isinstance(data, Rejected) for data in got) == 4


def test_a_key_that_is_listed_again_counts_once(mood: Mood, tmp_path: Path) -> None:
    uri = new_bucket()
    put(uri, *keys("a", *range(12)), *keys("b", *range(5)))
    open_store(uri).write("a/empty.jpg", b"")
    mood.lists = deque(["repeated"] * 3)
    catalog = ingest(SourceConfig(uri=uri), str(tmp_path))
    assert (catalog.rows, catalog.rejects) == (17, 1)
    assert table_store.facts(catalog)["listed"] == {"a": 13, "b": 5}
    assert ingest(SourceConfig(uri=uri), str(tmp_path)) == catalog


def test_many_objects_on_which_the_server_fails_are_the_server(mood: Mood) -> None:
    uri = new_bucket()
    names = [f"t/broken/{number}.jpg" for number in range(5)]
    put(uri, *names)
    source = open_source(SourceConfig(uri=uri))
    with environment(AWS_MAX_ATTEMPTS="1"), pytest.raises(StorageUnavailable):
        list(map(source.read, names))


@pytest.mark.parametrize(
    ("fault", "told"),
    [("expired", "renew the credentials"), ("skewed", "clock"), ("elsewhere", "region")],
)
@pytest.mark.parametrize("path", ["t/{}/a.jpg", "t/{}//odd.jpg"])
def test_what_is_wrong_with_the_caller_rejects_no_image_and_says_what_to_do(
    fault: str, told: str, path: str, mood: Mood
) -> None:
    uri = new_bucket()
    key = path.format(fault)
    put(uri, key)
    with pytest.raises(StorageError, match=told) as caught:
        open_source(SourceConfig(uri=uri)).read(key)
    assert not caught.value.retryable


def test_a_bucket_that_is_gone_is_no_missing_image(mood: Mood, tmp_path: Path) -> None:
    for attempt in (
        lambda: open_source(SourceConfig(uri="s3://no-such-bucket-1/x")).read("t/a.jpg"),
        lambda: ingest(SourceConfig(uri="s3://no-such-bucket-1/x"), str(tmp_path)),
        lambda: open_store("s3://no-such-bucket-1").write("x", b""),
    ):
        with pytest.raises(StorageError, match=r"no-such-bucket-1.*NoSuchBucket.*check the address"):
            attempt()


@pytest.mark.parametrize(
    ("fault", "reason"), [("cold", "archived"), ("encrypted", "unreadable"), ("keyless", "unreadable")]
)
def test_an_object_that_turns_out_to_be_closed_to_us_costs_that_image(fault: str, reason: str, mood: Mood) -> None:
    uri = new_bucket()
    put(uri, f"t/{fault}/1.jpg", f"t/{fault}//odd.jpg")
    source = open_source(SourceConfig(uri=uri))
    for key in (f"t/{fault}/1.jpg", f"t/{fault}//odd.jpg"):
        refused = source.read(key)
        assert isinstance(refused, Rejected)
        assert refused.reason == reason


@pytest.mark.parametrize("fault", ["slowdown", "reset", "unanswered"])
def test_a_write_that_goes_wrong_is_done_again_and_a_creator_does_not_lose_to_itself(fault: str, mood: Mood) -> None:
    store = open_store(new_bucket())
    mood.writes = deque([fault])
    store.write("written", b"1")
    mood.writes = deque([fault])
    store.create("created", b"2")
    assert not mood.writes
    assert (store.read("written"), store.read("created")) == (b"1", b"2")
    mood.writes = deque([fault])
    with pytest.raises(AlreadyExists):
        store.create("created", b"3")


def test_a_second_ingest_of_an_unchanged_bucket_reads_no_object(mood: Mood, tmp_path: Path) -> None:
    uri = new_bucket()
    put(uri, *keys("a", *range(5)), *keys("b", *range(5)))
    first = run(uri, str(tmp_path))
    assert mood.asked["read"] == 10
    mood.asked.clear()
    second = run(uri, str(tmp_path))
    assert second.samples == first.samples
    assert mood.asked["read"] == 0
    assert mood.asked["list"] == 3
    client().put_object(
        Bucket=uri.split("/")[2], Key="below/a prefix/b/new.jpg", Body=open_store(uri).read("a/001.jpg")
    )
    mood.asked.clear()
    run(uri, str(tmp_path))
    assert mood.asked["read"] == 1


@pytest.mark.parametrize(
    ("begins", "refusal"),
    [
        ("x-amz-checksum", (501, "NotImplemented", "Header 'x-amz-checksum-crc32' with value 'x' not implemented")),
        ("x-amz-sdk-checksum", (400, "InvalidArgument", "Unsupported header 'x-amz-sdk-checksum-algorithm' received")),
        ("x-amz-sdk-checksum", (501, "NotImplemented", "A header you provided implies functionality not implemented")),
        ("x-amz-optional-object", (400, "InvalidArgument", "Unsupported header x-amz-optional-object-attributes")),
        ("if-match", (400, "InvalidArgument", "If-Match is not supported")),
    ],
    ids=["as R2", "as B2", "unnamed", "attributes of listings", "conditions of reads"],
)
def test_a_server_that_refuses_a_newer_header_is_asked_without_it_from_then_on(
    begins: str, refusal: tuple[int, str, str], mood: Mood, caplog: pytest.LogCaptureFixture
) -> None:
    uri = new_bucket()
    mood.unknown = {begins: refusal}
    place = open_store(uri)
    for number in range(3):
        place.write(f"t/{number}.jpg", picture(number))
        place.create(f"t//{number}.jpg", b"made")  # two slashes: boto3 reads it, and obstore the others
    with pytest.raises(AlreadyExists):
        place.create("t//1.jpg", b"made again")
    entries = {entry.path: entry for entry in place.walk()}
    assert len(entries) == 6
    assert place.read_version("t/1.jpg", entries["t/1.jpg"].etag) == picture(1)
    assert place.read_version("t//1.jpg", entries["t//1.jpg"].etag) == b"made"
    with pytest.raises(ObjectChanged):
        place.read_version("t//1.jpg", "0" * 32)
    assert mood.refused == (2 if begins == "if-match" else 1), "obstore and boto3 find out, each once"
    assert sum("does not take newer headers" in record.message for record in caplog.records) == 1


def test_a_server_without_conditional_creates_is_never_asked_without_them(mood: Mood) -> None:
    mood.unknown = {"if-none-match": (501, "NotImplemented", "If-None-Match")}
    place = open_store(new_bucket())
    with pytest.raises(StorageError, match="keep the store on another one"):
        place.create("lease", b"mine")
    assert not place.exists("lease")
