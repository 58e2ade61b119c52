"""One boto3 client for each set of credentials and way of access that this process has seen.

Creating a client costs 100 ms and using one is thread-safe, so they are shared. They are kept by what the environment said when
they were made: a process that is pointed at another endpoint, or given other keys, gets another client. `AWS_ENDPOINT_URL`
points at MinIO, R2 or another server; a source may say otherwise for its own bucket (`source.s3`). Retries are botocore's
adaptive mode: throttling is answered by slowing down; `AWS_MAX_ATTEMPTS` says how often, eight times by default.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from presel.config import S3Config
from presel.errors import ConfigError
from presel.storage import trust
from presel.storage.s3_deadline import hurry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

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
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    *trust.VARIABLES,
)

_left_out: dict[Identity, frozenset[str]] = {}
log = logging.getLogger(__name__)

READ_TIMEOUT = 60
"""Seconds without a byte. A whole answer has its own clock (s3_deadline.py)."""


class Identity(NamedTuple):
    """Who this process is to S3, and where."""

    environment: tuple[str | None, ...]
    access: S3Config = S3Config()

    @property
    def attempts(self) -> int:
        """Tries of one request in all."""
        asked = self.environment[_SETTINGS.index("AWS_MAX_ATTEMPTS")] or ""
        return int(asked) if asked.isdigit() and int(asked) > 0 else 8


def identity(access: S3Config | None = None) -> Identity:
    """As far as the environment says right now, with what `access` says first."""
    return Identity(tuple(os.environ.get(name) for name in _SETTINGS), access or S3Config())


@lru_cache(maxsize=16)
def session(who: Identity) -> Any:
    """Raises ConfigError for a profile that the AWS configuration does not have."""
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.session.Session(profile_name=who.access.profile, region_name=who.access.region)
    except ProfileNotFound as error:
        raise ConfigError(
            "no such AWS profile",
            where="source.s3.profile" if who.access.profile else "AWS_PROFILE",
            got=str(error),
            expected="a profile of ~/.aws/config",
        ) from error


def credentials(who: Identity) -> Any | None:
    """boto3's credentials, or None where requests go unsigned."""
    return None if who.access.anonymous else session(who).get_credentials()


@lru_cache(maxsize=16)
def client(who: Identity, signature: str | None = None, checksums: bool = True) -> S3Client:
    """`signature`: the kind, where it must not be botocore's choice. `checksums`: those that only newer servers know."""
    from botocore import UNSIGNED
    from botocore.config import Config

    options: dict[str, Any] = {"signature_version": signature if credentials(who) else UNSIGNED}
    if not checksums:
        options |= {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    if who.access.addressing != "auto":
        options["s3"] = {"addressing_style": who.access.addressing}
    config = Config(
        retries={"mode": "adaptive", "total_max_attempts": who.attempts},
        max_pool_connections=64,
        connect_timeout=10,
        read_timeout=READ_TIMEOUT,
        **options,
    )
    made: S3Client = session(who).client(
        "s3", config=config, endpoint_url=who.access.endpoint_url, verify=trust.bundle()
    )
    hurry(made)
    return made


def left_out(who: Identity) -> frozenset[str]:
    """Headers that the server was found not to take (s3_errors.SUSPECTS): its requests go without them."""
    return _left_out.get(who, frozenset())


def leave_out(who: Identity, headers: frozenset[str]) -> None:
    """From now on; said once."""
    if fresh := headers - left_out(who):
        _left_out[who] = left_out(who) | fresh
        log.warning(
            "the S3 server does not take newer headers (%s): requests go without them", ", ".join(sorted(fresh))
        )
