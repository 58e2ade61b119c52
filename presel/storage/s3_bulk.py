"""Reading many S3 objects: obstore (Rust) spends 0.14 ms of CPU on one, boto3 1.05 ms (2,771 against 800 a second).

boto3 stays in charge of everything else: which endpoint, region and credentials, listing, conditional writes. obstore asks it
for credentials, so profiles, roles and their renewal work as everywhere. Keys that obstore's path rules do not admit
(empty or dotted parts: `a//b.jpg`, `./x`) are left to boto3; S3 allows them, so they exist.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from presel.errors import AccessDenied, NotFound, ObjectChanged, StorageError, StorageUnavailable
from presel.storage.s3_client import Identity, client, credentials, session

if TYPE_CHECKING:
    from obstore.store import S3Store as BulkStore


def admits(key: str) -> bool:
    """Whether obstore can name this key."""
    parts = key.split("/")
    return all(part not in ("", ".", "..") for part in parts) and key.isprintable()


def read(identity: Identity, bucket: str, key: str, etag: str | None, where: str) -> bytes:
    """The whole object; with an `etag`, only that version. Raises what Store.read and Store.read_version say."""
    import obstore
    from obstore import exceptions

    options: Any = {"if_match": f'"{etag}"'} if etag else None
    try:
        return bytes(obstore.get(bulk_store(identity, bucket), key, options=options).bytes())
    except exceptions.PreconditionError as error:
        raise ObjectChanged("it was overwritten since it was listed", where=where) from error
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise NotFound("no such object", where=where) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        # Not obstore's own words: how many milliseconds it took would make two equal refusals two different rejects.
        raise AccessDenied("the server denies access", where=where) from error
    except exceptions.BaseError as error:
        raise _unclear(error, where) from error


def _unclear(error: Exception, where: str) -> StorageError:
    """obstore has no type for these: a cold object says so in its text, all else is a connection that failed every retry."""
    if "InvalidObjectState" in str(error):
        return AccessDenied("the object is archived", where=where)
    return StorageUnavailable(
        _first_line(error), where=where, fix="check AWS_ENDPOINT_URL (or source.s3) and the network"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


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
        client_options={"allow_http": True, "timeout": "120s", "connect_timeout": "10s"},
        retry_config={
            "max_retries": identity.attempts - 1,
            "retry_timeout": timedelta(minutes=3),
            "backoff": {"base": 2, "init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=15)},
        },
    )
