"""What is made of a page that a server answers with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from presel.errors import AccessDenied, StorageError, StorageUnavailable
from presel.storage import Entry
from presel.storage.s3_listing import Page, Range, page, walk


def listed(key: str, **more: Any) -> dict[str, Any]:
    return {"Key": key, "Size": 1, "ETag": '"e"', **more}


@pytest.mark.parametrize(
    "answer",
    [
        {"IsTruncated": True, "Contents": [listed("p/a")]},
        {"IsTruncated": True, "NextContinuationToken": "same", "Contents": [listed("p/a")]},
        {"NextContinuationToken": "same"},
    ],
)
def test_a_server_that_breaks_off_or_goes_in_circles_ends_the_listing(answer: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="breaks off"):
        page(answer, 2, Range("p/", token="same"), "s3://b/p/")


def test_what_is_no_listing_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(StorageUnavailable, match="no S3 server"):
        page({"ResponseMetadata": {"HTTPStatusCode": 200}}, 0, Range(""), "s3://b/")
    assert page({"IsTruncated": False}, 0, Range(""), "s3://b/").entries == []


def test_a_cold_object_is_archived_until_it_is_restored() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    contents = [
        listed("a", StorageClass="GLACIER"),
        listed("b", StorageClass="DEEP_ARCHIVE", RestoreStatus={"IsRestoreInProgress": True}),
        listed("c", StorageClass="GLACIER", RestoreStatus={"IsRestoreInProgress": False, "RestoreExpiryDate": later}),
        listed("d", StorageClass="GLACIER_IR"),
        listed("e", StorageClass="INTELLIGENT_TIERING"),
        {"Key": "f", "Size": 1},
    ]
    found = page({"Contents": contents}, 0, Range(""), "s3://b/").entries
    assert [entry.archived for entry in found] == [True, True, False, False, False, False]


KEYS = sorted(["a/1", "b.x", "b/1", "b/2", "b/c/3", "b0/4", "c/5"])


def fetch(asked: Range) -> Page:
    """A server with two keys a page that lists no folder `b/` when asked for it."""
    if asked.prefix.startswith("b/"):
        raise AccessDenied("no", where=asked.prefix)
    after = max(asked.token or "", asked.after or "")
    below = [key for key in KEYS if key.startswith(asked.prefix) and key > after]
    if asked.one_level:
        folders = dict.fromkeys(
            f"{asked.prefix}{key[len(asked.prefix) :].partition('/')[0]}/" for key in below if "/" in key
        )
        return Page([Entry(key, 1, "e") for key in below if "/" not in key[len(asked.prefix) :]], list(folders), None)
    more = {"NextContinuationToken": below[1]} if len(below) > 2 else {}
    answer = {"Contents": [listed(key) for key in below[:2]], "IsTruncated": bool(more), **more}
    return page(answer, 0, asked, "s3://b/")


def test_a_folder_that_may_not_be_listed_is_listed_as_a_part_of_the_whole() -> None:
    assert sorted(entry.path for entry in walk(fetch, "")) == KEYS


def test_a_listing_whose_whole_is_forbidden_fails() -> None:
    with pytest.raises(AccessDenied):
        list(walk(fetch, "b/"))
