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

from presel.config.keys import digest
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
    """The file of all certificates, named by its content: a killed process leaves nothing that piles up."""
    texts = [*_usual(), *(_read(name, Path(path)) for name, path in files)]
    data = "\n".join(dict.fromkeys(texts))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "presel"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / f"trust-{digest(data.encode())[:16]}.pem"
        if not path.is_file() or path.read_text() != data:
            path = Path(_aside(data, cache)).replace(path)
    except OSError:  # a home that cannot be written
        path = Path(_aside(data, None))
        atexit.register(path.unlink, missing_ok=True)
    _made.add(str(path))
    return str(path)


def _aside(data: str, folder: Path | None) -> str:
    """A file of its own that holds `data`; in the system's folder for temporary files where none is named."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix="presel-trust-", suffix=".pem", delete=False) as out:
        out.write(data)
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
