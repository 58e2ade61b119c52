"""Reading many S3 objects: obstore (Rust) spends 0.14 ms of CPU on one, boto3 1.05 ms (2,771 against 800 a second).

boto3 stays in charge of everything else: which endpoint, region and credentials, listing, conditional writes. obstore asks it
for credentials, so profiles, roles and their renewal work as everywhere. Keys that obstore's path rules do not admit
(empty or dotted parts: `a//b.jpg`, `./x`) are left to boto3; S3 allows them, so they exist.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presel.storage import trust
from presel.storage.s3_client import Identity, client, credentials, session
from presel.storage.s3_errors import translated_bulk

if TYPE_CHECKING:
    from obstore.store import S3Store as BulkStore

LONGEST = timedelta(seconds=60)
"""For one object. What takes longer is left to boto3, where its speed counts and not the time (s3_deadline.py)."""


def admits(key: str) -> bool:
    """Whether obstore can name this key."""
    parts = key.split("/")
    return all(part not in ("", ".", "..") for part in parts) and key.isprintable()


def read(identity: Identity, bucket: str, key: str, etag: str | None, where: str) -> tuple[bytes, str | None]:
    """The whole object and its etag; with an `etag`, only that version. Raises what Store.read and Store.read_version say."""
    import obstore

    options: Any = {"if_match": f'"{etag}"'} if etag else None
    with translated_bulk(where):
        answer = obstore.get(bulk_store(identity, bucket), key, options=options)
        return bytes(answer.bytes()), answer.meta["e_tag"]


@lru_cache(maxsize=64)
def bulk_store(identity: Identity, bucket: str) -> BulkStore:
    """One connection pool a bucket and identity."""
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store as BulkStore

    meta, access = client(identity).meta, identity.access
    signed = credentials(identity) is not None
    virtual = access.addressing == "virtual"
    scheme, _, host = meta.endpoint_url.partition("://")
    return BulkStore(
        bucket,
        endpoint=f"{scheme}://{bucket}.{host}" if virtual else meta.endpoint_url,
        region=meta.region_name or "us-east-1",
        virtual_hosted_style_request=virtual,
        request_payer=access.requester_pays,
        credential_provider=Boto3CredentialProvider(session(identity)) if signed else None,
        skip_signature=not signed,
        client_options=_options(),
        retry_config={
            "max_retries": identity.attempts - 1,
            "retry_timeout": LONGEST,
            "backoff": {"base": 2, "init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=15)},
        },
    )


def _options() -> Any:
    """Of a connection. obstore looks at no variable for certificates."""
    file = trust.bundle()
    trusted = {"root_certificate": Path(file).read_bytes()} if file else {}
    clocks = {"timeout": LONGEST, "read_timeout": LONGEST / 2, "connect_timeout": "10s"}
    return {"allow_http": True, **clocks, **trusted}
