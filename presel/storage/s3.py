"""S3, any endpoint: boto3 for control, obstore for the bytes of many objects.

Credentials come from the usual places (environment, profile, role), never from a config file. What either calls an error is
translated in s3_errors.py, and nowhere else.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from presel.config import S3Config
from presel.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    NotFound,
    ObjectChanged,
    StorageError,
    StorageUnavailable,
)
from presel.storage import s3_bulk, s3_client, s3_listing
from presel.storage.s3_errors import suspects, translated, was_retried
from presel.storage.store import Entry, LeftOut, Store, nothing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
_A_WEEK = 7 * 24 * 3600


class S3Store(Store):
    def __init__(self, uri: str, access: S3Config | None = None) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError("the S3 address names no bucket", where=uri, expected="s3://bucket/prefix", got=uri)
        self.uri = uri.rstrip("/")
        self.bucket = bucket
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._access = access or S3Config()
        self._payer: Any = {"RequestPayer": "requester"} if self._access.requester_pays else {}

    def read(self, path: str) -> bytes:
        return self._read(path, None)

    def open(self, path: str) -> BinaryIO:
        file = tempfile.TemporaryFile(prefix="presel-")  # noqa: SIM115 - it is the caller's, and gone when it is closed
        where, what = self.locate(path), {"Bucket": self.bucket, "Key": self.prefix + path, **self._payer}
        answer = self._asked(where, lambda s3, _: s3.get_object(**what))
        with translated(where):
            for piece in answer["Body"].iter_chunks(1 << 20):
                file.write(piece)
        file.seek(0)
        return file

    def read_version(self, path: str, etag: str) -> bytes:
        try:
            return self._read(path, etag)
        except ObjectChanged:
            former = self._former(self.prefix + path, etag)
            if former is not None:
                return former
            if self._is_listed_as(path, etag):
                raise AccessDenied("the server does not give the object that it lists", where=self.uri) from None
            raise

    def _read(self, path: str, etag: str | None) -> bytes:
        key, where = self.prefix + path, self.locate(path)
        data, found = self._received(key, etag, where)
        # Not every server minds the condition; and not every one names an object alike in a listing and in an answer.
        if etag and found and found.strip('"') != etag and not self._is_listed_as(path, etag):
            raise ObjectChanged("it was overwritten since it was listed", where=where)
        return data

    def _received(self, key: str, etag: str | None, where: str) -> tuple[bytes, str | None]:
        if s3_bulk.admits(key):
            # A body that broke off is resumed by range; a server that does not do ranges well gets a whole new request.
            who = s3_client.identity(self._access)
            with suppress(StorageUnavailable):
                return s3_bulk.read(who, self.bucket, key, None if "match" in s3_client.left_out(who) else etag, where)
        try:
            return self._whole(key, etag, where)
        except AlreadyExists as error:  # a condition failed, and of a read there is only one
            raise ObjectChanged("it was overwritten since it was listed", where=where) from error

    def _whole(self, key: str, etag: str | None, where: str, tries: int = 3) -> tuple[bytes, str | None]:
        """boto3 tries again what the server refuses; of a body that breaks off it only says so."""
        from botocore.exceptions import IncompleteReadError, ResponseStreamingError

        def get(s3: S3Client, left_out: frozenset[str]) -> Any:
            condition: Any = {"IfMatch": f'"{etag}"'} if etag and "match" not in left_out else {}
            return s3.get_object(Bucket=self.bucket, Key=key, **condition, **self._payer)

        answer = self._asked(where, get)
        with translated(where):
            try:
                return answer["Body"].read(), answer.get("ETag")
            except (IncompleteReadError, ResponseStreamingError):
                if tries == 1:
                    raise
        return self._whole(key, etag, where, tries - 1)

    def find(self, path: str) -> Entry | None:
        return next((entry for entry in itertools.islice(self.list(path), 1) if entry.path == path), None)

    def _is_listed_as(self, path: str, etag: str) -> bool:
        entry = self.find(path)
        return entry is not None and entry.etag == etag

    def _former(self, key: str, etag: str) -> bytes | None:
        """The version of an overwritten object that was listed, if the bucket keeps versions and lets us see them.

        Asked only now: a listing with versions costs a request more for a thousand keys, and another permission.
        """
        with suppress(StorageError), translated(key):
            found = self._client().list_object_versions(Bucket=self.bucket, Prefix=key, **self._payer)
            for version in found.get("Versions", ()):
                if version["Key"] == key and version["ETag"].strip('"') == etag:
                    wanted: Any = {"VersionId": version["VersionId"], **self._payer}
                    return self._client().get_object(Bucket=self.bucket, Key=key, **wanted)["Body"].read()
        return None

    def _asked(self, where: str, call: Callable[[S3Client, frozenset[str]], T]) -> T:
        """What a request comes to. One refused for a header that not every server knows is sent again without it, and where
        that helps, so are all that follow. `call` gets a client, and the names of what to leave out."""
        who = s3_client.identity(self._access)

        def sent(without: frozenset[str]) -> T:
            with translated(where):
                return call(s3_client.client(who, checksums="checksums" not in without), without)

        try:
            return sent(s3_client.left_out(who))
        except StorageError as error:
            without = suspects(error) - s3_client.left_out(who)
            if not without:
                raise
            try:
                found = sent(s3_client.left_out(who) | without)
            except (AlreadyExists, NotFound):  # that is an answer
                s3_client.leave_out(who, without)
                raise
            except StorageError:
                raise error from error.__cause__
        s3_client.leave_out(who, without)
        return found

    def _client(self) -> S3Client:
        return client(self._access)

    def write(self, path: str, data: bytes | BinaryIO) -> None:
        """In one request, which takes 5 GB at most."""

        def put(s3: S3Client, _: frozenset[str]) -> None:
            if not isinstance(data, bytes):
                data.seek(0)
            s3.put_object(Bucket=self.bucket, Key=self.prefix + path, Body=data)

        self._asked(self.locate(path), put)

    def create(self, path: str, data: bytes) -> None:
        options: Any = {"Bucket": self.bucket, "Key": self.prefix + path, "Body": data, "IfNoneMatch": "*"}
        try:
            self._asked(self.locate(path), lambda s3, _: s3.put_object(**options))
        except AlreadyExists as error:
            # A retry may meet what its own first try wrote before the answer was lost: then it was us who were first.
            if not was_retried(error) or self.read(path) != data:
                raise

    def exists(self, path: str) -> bool:
        try:
            with translated(self.locate(path)):
                self._client().head_object(Bucket=self.bucket, Key=self.prefix + path)
        except NotFound:
            return False
        return True

    def link(self, path: str, kind: str, served: str | None = None) -> str | None:
        """Signed, for a week at most (that is S3's limit; credentials of a role end it sooner).

        `http://localhost:9000/bucket/prefix` is taken for the same server by another name, and signed for that; `served`
        that does not end in the bucket and the prefix is somebody else's way to the objects, and has no signature.
        """
        access, at = self._access, urlsplit(served or "")
        if served and at.path.strip("/") != f"{self.bucket}/{self.prefix}".strip("/"):
            return super().link(path, kind, served)
        if served:
            access = access.model_copy(update={"endpoint_url": f"{at.scheme}://{at.netloc}", "addressing": "path"})
        what = {"Bucket": self.bucket, "Key": self.prefix + path, "ResponseContentType": kind}
        # For links, and in some regions, botocore falls back to version 2, which R2 and newer buckets of AWS refuse.
        signing = s3_client.client(s3_client.identity(access), "s3v4")
        return signing.generate_presigned_url("get_object", Params=what, ExpiresIn=_A_WEEK)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        following: str | None = None
        while True:
            page = self._page(s3_listing.Range(self.prefix + prefix, token=following))
            yield from page.entries
            following = page.following
            if following is None:
                return

    def walk(self, left_out: LeftOut = nothing) -> Iterator[Entry]:
        skipped = len(self.prefix)
        entries = s3_listing.walk(self._page, self.prefix, lambda folder: left_out(folder[skipped:]))
        return (entry for entry in entries if not left_out(entry.path))

    def _page(self, asked: s3_listing.Range, tries: int = 3) -> s3_listing.Page:
        options: Any = {"Delimiter": "/"} if asked.one_level else {}
        if asked.token:
            options["ContinuationToken"] = asked.token
        elif asked.after:
            options["StartAfter"] = asked.after
        where = f"s3://{self.bucket}/{asked.prefix}"

        def listed(s3: S3Client, left_out: frozenset[str]) -> Any:
            more: Any = {} if "attributes" in left_out else {"OptionalObjectAttributes": ["RestoreStatus"]}
            return s3.list_objects_v2(Bucket=self.bucket, Prefix=asked.prefix, **more, **options, **self._payer)

        answer = self._asked(where, listed)
        # boto3 tries again what the server refuses and what is no XML, but takes any XML for a listing.
        if tries > 1 and not s3_listing.is_one(answer):
            return self._page(asked, tries - 1)
        return s3_listing.page(answer, len(self.prefix), asked, where)

    def delete(self, path: str) -> None:
        with translated(self.locate(path)):
            self._client().delete_object(Bucket=self.bucket, Key=self.prefix + path)


def client(access: S3Config | None = None) -> S3Client:
    """The client for what the environment says now, and `access` in its place where it says something."""
    return s3_client.client(s3_client.identity(access))
