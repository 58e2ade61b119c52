"""The store behind an address."""

from __future__ import annotations

from functools import lru_cache

from presel.config import S3Config
from presel.config.address import address
from presel.errors import ConfigError, require
from presel.storage.store import Store


@lru_cache(maxsize=64)
def open_store(uri: str, access: S3Config | None = None) -> Store:
    """The store at `s3://bucket/prefix`, `file:///folder` or a plain folder path.

    `access`: how its bucket is reached, where that differs from what the environment says.
    """
    from presel.storage.folder import FolderStore

    try:
        scheme, separator, rest = address(uri).partition("://")
    except ValueError as error:
        raise ConfigError(str(error), where=uri) from None
    if not separator:
        return FolderStore(scheme)
    if scheme == "file":
        return FolderStore(rest)
    if scheme == "s3":
        require("s3", uri)
        from presel.storage.s3 import S3Store

        return S3Store(f"s3://{rest}", access)
    fix = "Google's and Azure's own protocols are left out: mount the bucket, or use what speaks S3 there"
    raise ConfigError(
        "unknown kind of store", where=uri, expected="s3://bucket/prefix or a folder", got=f"{scheme}://", fix=fix
    )
