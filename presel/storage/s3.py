"""S3 through boto3: any endpoint, credentials from the usual places (environment, profile, role), never from a config file.

`AWS_ENDPOINT_URL` points at MinIO, R2 or another server. Retries are botocore's adaptive mode: throttling is answered by
slowing down, not by failing. What remains an error after that is translated here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from presel.errors import (
    AccessDenied,
    AlreadyExists,
    ConfigError,
    NotFound,
    StorageError,
    StorageUnavailable,
)
from presel.storage.store import Entry, Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}


class S3Store(Store):
    def __init__(self, uri: str) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError("the S3 address names no bucket", where=uri, expected="s3://bucket/prefix", got=uri)
        self.uri = uri.rstrip("/")
        self.bucket = bucket
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def read(self, path: str) -> bytes:
        with _translated(self.locate(path)):
            return client().get_object(Bucket=self.bucket, Key=self.prefix + path)["Body"].read()

    def write(self, path: str, data: bytes) -> None:
        with _translated(self.locate(path)):
            client().put_object(Bucket=self.bucket, Key=self.prefix + path, Body=data)

    def create(self, path: str, data: bytes) -> None:
        with _translated(self.locate(path)):
            client().put_object(Bucket=self.bucket, Key=self.prefix + path, Body=data, IfNoneMatch="*")

    def exists(self, path: str) -> bool:
        try:
            with _translated(self.locate(path)):
                client().head_object(Bucket=self.bucket, Key=self.prefix + path)
        except NotFound:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Entry]:
        with _translated(self.locate(prefix)):
            pages = client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    yield Entry(
                        path=item["Key"][len(self.prefix) :],
                        size=item["Size"],
                        etag=item["ETag"].strip('"'),
                        archived=item.get("StorageClass") in _ARCHIVED,
                    )

    def delete(self, path: str) -> None:
        with _translated(self.locate(path)):
            client().delete_object(Bucket=self.bucket, Key=self.prefix + path)


@lru_cache(maxsize=1)
def client() -> S3Client:
    """One client a process: creating one costs 100 ms, using one is thread-safe."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            retries={"mode": "adaptive", "max_attempts": 8},
            max_pool_connections=64,
            connect_timeout=10,
            read_timeout=60,
        ),
    )


_MEANING: dict[str, type[StorageError]] = {
    "NoSuchKey": NotFound,
    "NoSuchBucket": NotFound,
    "404": NotFound,
    "NotFound": NotFound,
    "AccessDenied": AccessDenied,
    "403": AccessDenied,
    "InvalidAccessKeyId": AccessDenied,
    "SignatureDoesNotMatch": AccessDenied,
    "ExpiredToken": AccessDenied,
    "InvalidObjectState": AccessDenied,
    "PreconditionFailed": AlreadyExists,
    "412": AlreadyExists,
    "ConditionalRequestConflict": AlreadyExists,
    "SlowDown": StorageUnavailable,
    "ServiceUnavailable": StorageUnavailable,
    "InternalError": StorageUnavailable,
    "RequestTimeout": StorageUnavailable,
    "500": StorageUnavailable,
    "503": StorageUnavailable,
}


@contextmanager
def _translated(where: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _from_response(error, where) from error
    except NoCredentialsError as error:
        fix = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
        raise AccessDenied("no S3 credentials were found", where=where, fix=fix) from error
    except (BotoCoreError, HTTPError) as error:
        raise StorageUnavailable(str(error), where=where, fix="check AWS_ENDPOINT_URL and the network") from error


def _from_response(error: Any, where: str) -> StorageError:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "") or str(error)
    return _MEANING.get(code, StorageError)(f"{code}: {message}", where=where)
