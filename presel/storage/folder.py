"""A local folder as an object store: written beside, then renamed or linked into place."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat as modes
import tempfile
from collections import deque
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
from presel.storage.store import Entry, LeftOut, Store, nothing

log = logging.getLogger(__name__)
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
        # Looked at after reading: a file that is replaced in between has another time or size.
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

        def elsewhere(path: str) -> bool:
            leads_there = path.endswith("/") and prefix.startswith(path)
            return not (leads_there or path.startswith(prefix))

        return self._entries(start, elsewhere if prefix else nothing)

    def find(self, path: str) -> Entry | None:
        with _translated(self.locate(path)), suppress(FileNotFoundError):
            return _entry(path, self._at(path))
        return None

    def walk(self, left_out: LeftOut = nothing) -> Iterator[Entry]:
        return self._entries(self.root, left_out)

    def _entries(self, start: Path, left_out: LeftOut) -> Iterator[Entry]:
        with _translated(str(start)):
            for path, file in _walk(str(self.root), str(start), left_out):
                with suppress(FileNotFoundError):  # it was removed while we looked
                    yield _entry(path, file)

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


def _entry(path: str, file: Path) -> Entry:
    stat = _stat(file)
    plain = modes.S_ISREG(stat.st_mode) or modes.S_ISLNK(stat.st_mode)
    return Entry(path, stat.st_size, _etag(stat), plain=plain)


def _stat(file: Path) -> os.stat_result:
    """Of a link's target; of the link itself if the target is gone or a loop. It is then listed, and reading it fails."""
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


def _walk(root: str, top: str, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """(path below `root`, file) of everything in `top`, links to folders followed: a pool is often put together from them.

    A folder is looked into once, at its own place before any link's: eight files behind links that lead to one another would
    else be listed a hundred thousand times.
    """
    if not Path(top).is_dir():
        return
    looked_into: set[tuple[int, int]] = set()
    waiting, passed_over = deque([top]), []
    while waiting:
        start = waiting.popleft()
        for folder, folders, files in os.walk(start, onerror=_fail):
            if not _is_new(folder, looked_into):
                passed_over += [folder] if folder == start else []
                folders.clear()
                continue
            above = folder[len(root) :].strip("/") + "/" if len(folder) > len(root) else ""
            inside = [name for name in sorted(folders) if not left_out(f"{above}{name}/")]
            links = [path for name in inside if (path := Path(folder, name)).is_symlink()]
            waiting.extend(map(str, links))
            followed = {path.name for path in links}
            folders[:] = [name for name in inside if name not in followed]
            for name in sorted(files):
                if not name.startswith(_TEMPORARY) and not left_out(above + name):
                    yield above + name, Path(folder, name)
    if passed_over:
        said = "%d links lead to folders that are listed elsewhere, and are passed over: %s"
        log.info(said, len(passed_over), ", ".join(passed_over[:3]))


def _is_new(folder: str, looked_into: set[tuple[int, int]]) -> bool:
    with suppress(FileNotFoundError):
        here = _identity(folder)
        if here not in looked_into:
            looked_into.add(here)
            return True
    return False


def _fail(error: OSError) -> None:
    """os.walk passes over folders it may not open; a listing with holes would look like a pool with images removed."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):  # it was removed while we looked
        return
    if isinstance(error, PermissionError):
        fix = "let the user that runs this process read there, or leave it out by `source.exclude`"
        raise AccessDenied("a folder may not be looked into", where=str(error.filename), fix=fix) from error
    raise error


def _identity(folder: str) -> tuple[int, int]:
    stat = Path(folder).stat()
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
