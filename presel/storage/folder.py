"""A local folder as an object store: written beside, then renamed or linked into place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from presel.errors import AccessDenied, AlreadyExists, InputError, NotFound, PreselError, StorageError
from presel.storage.store import Entry, Store

_TEMPORARY = ".presel-write-"


class FolderStore(Store):
    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser().absolute()
        self.uri = str(self.root)

    def read(self, path: str) -> bytes:
        with _translated(self.locate(path)):
            return self._at(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self._at(path)
        with _translated(self.locate(path)), _written_aside(target, data) as aside:
            aside.replace(target)

    def create(self, path: str, data: bytes) -> None:
        target = self._at(path)
        with _translated(self.locate(path)), _written_aside(target, data) as aside:
            os.link(aside, target)  # a rename would replace silently; a hard link fails if the name is taken

    def exists(self, path: str) -> bool:
        return self._at(path).is_file()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        start = self._at(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        with _translated(str(start)):
            for file in _walk(start):
                path = file.relative_to(self.root).as_posix()
                if path.startswith(prefix):
                    with suppress(FileNotFoundError):
                        stat = file.stat()
                        yield Entry(path, stat.st_size, f"{stat.st_size:x}-{stat.st_mtime_ns:x}")

    def delete(self, path: str) -> None:
        with _translated(self.locate(path)):
            self._at(path).unlink(missing_ok=True)

    def _at(self, path: str) -> Path:
        target = self.root / path
        if not target.absolute().is_relative_to(self.root) or ".." in Path(path).parts:
            raise InputError("the path leaves the store", where=self.uri, expected="a path below the root", got=path)
        return target


def _walk(folder: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if not name.startswith(_TEMPORARY):
                yield Path(directory) / name


@contextmanager
def _written_aside(target: Path, data: bytes) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        yield aside
    finally:
        aside.unlink(missing_ok=True)


_MEANING: dict[type[OSError], type[PreselError]] = {
    FileNotFoundError: NotFound,
    IsADirectoryError: NotFound,
    NotADirectoryError: NotFound,
    FileExistsError: AlreadyExists,
    PermissionError: AccessDenied,
}


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = next((ours for theirs, ours in _MEANING.items() if isinstance(error, theirs)), StorageError)
        raise kind(error.strerror or str(error), where=where) from error
