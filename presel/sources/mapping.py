"""The file behind `source.mapping`: where it lies, and its bytes as a stream.

LLaVA-665K is one JSON of a gigabyte. Held whole, it alone would be more than a listing of a million keys may take, so a file
on S3 goes to a temporary file first, and all of them are read in pieces. A file whose bytes are those of gzip is unpacked
on the way, whatever it is called.

A mapping that ends in `/` is a folder of files, one a task: so the paper's authors hand on the splits they used.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, cast

from presel.config import SourceConfig
from presel.errors import ConfigError, NotFound
from presel.storage import Store, open_store

_GZIP = b"\x1f\x8b"


class MappingFile(NamedTuple):
    """One file of a mapping."""

    store: Store
    path: str

    @property
    def where(self) -> str:
        return self.store.locate(self.path)

    @property
    def kind(self) -> str:
        """What its name says it is: `csv` of `tasks.csv.gz`."""
        return PurePosixPath(self.path.lower().removesuffix(".gz")).suffix.lstrip(".")

    @property
    def stem(self) -> str:
        """Its name without endings: the task, where there is a file for each."""
        return PurePosixPath(self.path).name.partition(".")[0]

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its bytes, unpacked. Raises ConfigError when it is not there, or not whole."""
        try:
            with self.store.open(self.path) as file:
                packed = file.read(len(_GZIP)) == _GZIP
                file.seek(0)
                yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file
        except NotFound as error:
            raise missing(self.where) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ConfigError("the mapping cannot be unpacked", where=self.where, got=str(error)) from error


def files(config: SourceConfig) -> list[MappingFile]:
    """The file that `source.mapping` names, or those of the folder, by name. Raises ConfigError when there is none.

    Read with the source's own access where it lies in its bucket, else with what the environment says.
    """
    where = config.mapping or ""
    folder, _, name = where.rpartition("/")
    same_bucket = where.startswith("s3://") and where.split("/")[2] == config.uri.partition("://")[2].split("/")[0]
    store = open_store(folder or ("/" if where.startswith("/") else "."), config.s3 if same_bucket else None)
    if name:
        return [MappingFile(store, name)]
    inside = sorted(entry.path for entry in store.list() if "/" not in entry.path)
    found = [MappingFile(store, path) for path in inside if MappingFile(store, path).kind in ("json", "jsonl")]
    if not found:
        raise missing(where)
    return found


def digest_of(file: BinaryIO) -> str:
    """Of all its bytes, wherever it stands."""
    file.seek(0)
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def missing(where: str) -> ConfigError:
    fix = "correct `source.mapping`"
    return ConfigError("the mapping is not there", where=where, expected="a file", got="none", fix=fix)
