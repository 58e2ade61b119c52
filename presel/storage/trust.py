"""Which certificates are trusted: the usual ones, and those of every bundle that the environment names, for all alike.

Tools differ in which variable they read (boto3 `AWS_CA_BUNDLE`, httpx and OpenSSL `SSL_CERT_FILE`, requests
`REQUESTS_CA_BUNDLE`, obstore none), and some drop the usual authorities then. A company's own is meant for S3, the API and
Prefect, whichever variable names it.
"""

from __future__ import annotations

import atexit
import os
import ssl
import tempfile
from functools import lru_cache
from pathlib import Path

from presel.errors import ConfigError

_made: set[str] = set()
VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def named() -> dict[str, str]:
    """The bundles that the environment names, by variable."""
    return {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}


def bundle() -> str | None:
    """A file of all certificates to trust; None where the environment names none beside the usual ones.

    Raises ConfigError for one that cannot be read.
    """
    found = named()
    if found.get("SSL_CERT_FILE") in _made:  # a command has named ours there, for libraries that look nowhere else
        return found["SSL_CERT_FILE"]
    return _written(tuple(found.items())) if found else None


def context() -> ssl.SSLContext:
    """For requests over httpx. Raises ConfigError as `bundle` does."""
    return _context(bundle())


@lru_cache(maxsize=4)
def _context(file: str | None) -> ssl.SSLContext:
    """60 ms to read, so once a process."""
    return ssl.create_default_context(cafile=file)


@lru_cache(maxsize=4)
def _written(files: tuple[tuple[str, str], ...]) -> str:
    texts = [*_usual(), *(_read(name, Path(path)) for name, path in files)]
    with tempfile.NamedTemporaryFile("w", prefix="presel-trust-", suffix=".pem", delete=False) as out:
        out.write("\n".join(dict.fromkeys(texts)))
    _made.add(out.name)
    atexit.register(Path(out.name).unlink, missing_ok=True)
    return out.name


def _usual() -> list[str]:
    places = ssl.get_default_verify_paths()
    try:
        import certifi

        return [Path(certifi.where()).read_text()]
    except ImportError:
        return [Path(places.openssl_cafile).read_text()] if Path(places.openssl_cafile).is_file() else []


def _read(name: str, path: Path) -> str:
    try:
        files = sorted(path.glob("*.[cp][re][tm]")) if path.is_dir() else [path]
        text = "\n".join(file.read_text() for file in files)
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        fix = f"correct or unset {name}"
        raise ConfigError("no certificates can be read here", where=name, got=str(path), fix=fix) from error
    return text
