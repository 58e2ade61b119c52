"""One boto3 client for each set of credentials and endpoint that this process has seen.

Creating a client costs 100 ms and using one is thread-safe, so they are shared. They are kept by what the environment said when
they were made: a process that is pointed at another endpoint, or given other keys, gets another client. `AWS_ENDPOINT_URL`
points at MinIO, R2 or another server. Retries are botocore's adaptive mode: throttling is answered by slowing down;
`AWS_MAX_ATTEMPTS` says how often, eight times by default.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Identity = tuple[str | None, ...]
_SETTINGS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_MAX_ATTEMPTS",
)


def identity() -> Identity:
    """Who this process is to S3 right now, as far as its environment says."""
    return tuple(os.environ.get(name) for name in _SETTINGS)


def attempts(who: Identity) -> int:
    """Tries of one request in all."""
    asked = who[_SETTINGS.index("AWS_MAX_ATTEMPTS")] or ""
    return int(asked) if asked.isdigit() and int(asked) > 0 else 8


@lru_cache(maxsize=16)
def session(who: Identity) -> Any:  # noqa: ARG001 - the cache's key
    import boto3

    return boto3.session.Session()


@lru_cache(maxsize=16)
def client(who: Identity) -> S3Client:
    from botocore import UNSIGNED
    from botocore.config import Config

    anonymous: dict[str, Any] = {} if session(who).get_credentials() else {"signature_version": UNSIGNED}
    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": attempts(who)},
        max_pool_connections=64,
        connect_timeout=10,
        read_timeout=60,
        **anonymous,
    )
    made: S3Client = session(who).client("s3", config=config)
    return made
