"""A local folder as an object store: written beside, then renamed or linked into place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from presel.errors import (
    AccessDenied,
    AlreadyExists,
    InputError,
    NotFound,
    ObjectChanged,
    PreselError,
    StorageError,
    StorageUnavailable,
)
from presel.storage.store import Entry, Store

_TEMPORARY = ".presel-write-"


class FolderStore(Store):
    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser().absolute()
        self.uri = str(self.root)

    def read(self, path: str) -> bytes:
        file = self._at(path)
        with _translated(self.locate(path)):
            if not file.is_file():  # reading a pipe would wait for ever
                raise NotFound("no such file, or no plain one", where=self.locate(path))
            return file.read_bytes()

    def open(self, path: str) -> BinaryIO:
        file = self._at(path)
        with _translated(self.locate(path)):
            if not file.is_file():
                raise NotFound("no such file, or no plain one", where=self.locate(path))
            return file.open("rb")

    def read_version(self, path: str, etag: str) -> bytes:
        file = self._at(path)
        data = self.read(path)
        # Looked at after reading: whoever replaces the file in between changes its time or its size.
        with _translated(self.locate(path)):
            if _etag(file.stat()) != etag:
                raise ObjectChanged("it was overwritten since it was listed", where=self.locate(path))
        return data

    def write(self, path: str, data: bytes | BinaryIO) -> None:
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
                    with suppress(FileNotFoundError):  # it was removed while we looked
                        stat = _stat(file)
                        yield Entry(path, stat.st_size, _etag(stat))

    def leftovers(self) -> Iterator[Entry]:
        with _translated(self.uri):
            for directory, _, names in os.walk(self.root):
                for name in sorted(names):
                    file = Path(directory, name)
                    if name.startswith(_TEMPORARY):
                        with suppress(FileNotFoundError):  # a write under way is through with it
                            stat = file.lstat()
                            yield Entry(file.relative_to(self.root).as_posix(), stat.st_size, _etag(stat))

    def delete(self, path: str) -> None:
        with _translated(self.locate(path)):
            self._at(path).unlink(missing_ok=True)

    def _at(self, path: str) -> Path:
        target = self.root / path
        if not target.absolute().is_relative_to(self.root) or ".." in Path(path).parts:
            raise InputError("the path leaves the store", where=self.uri, expected="a path below the root", got=path)
        return target


def _stat(file: Path) -> os.stat_result:
    """Of what a link points to, or of the link itself when that is gone or a loop: it is listed, and reading it says so."""
    try:
        return file.stat()
    except FileNotFoundError:
        return file.lstat()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return file.lstat()


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below, links to folders followed: a pool is often put together from them.

    A folder that is among its own ancestors is passed over, or a link to `..` would never end.
    """

    def fail(error: OSError) -> None:
        # os.walk passes over folders it may not open; a listing with holes would look like a pool with images removed.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # it was removed while we looked
            raise error

    if not folder.is_dir():
        return
    above = {str(folder): frozenset({_identity(folder)})}
    for directory, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        ancestors = above.pop(directory)
        entered = []
        for name in sorted(folders):
            path = Path(directory, name)
            with suppress(FileNotFoundError):
                if (here := _identity(path)) not in ancestors:
                    above[str(path)] = ancestors | {here}
                    entered.append(name)
        folders[:] = entered
        for name in sorted(files):
            if not name.startswith(_TEMPORARY):
                yield Path(directory) / name


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


@contextmanager
def _written_aside(target: Path, data: bytes | BinaryIO) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data.seek(0)
                shutil.copyfileobj(data, file)
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
    TimeoutError: StorageUnavailable,
}
_ROOM = "make room there (`presel gc --delete` removes what no version needs), then run again: what is finished is found again"
_FIXES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`, or the file system's own)",
    errno.EROFS: "mount it writable, or name another folder",
    errno.EACCES: "let the user that runs this process read there, and write there if it is the store",
    errno.EPERM: "let the user that runs this process read there, and write there if it is the store",
}
_PASSING = {errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EREMOTEIO, errno.ENETDOWN, errno.ENETUNREACH}
"""What a disk or a network mount says when it could not read this time."""


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        otherwise = StorageUnavailable if error.errno in _PASSING else StorageError
        kind = next((ours for theirs, ours in _MEANING.items() if isinstance(error, theirs)), otherwise)
        raise kind(error.strerror or str(error), where=where, fix=_FIXES.get(error.errno or 0)) from error
