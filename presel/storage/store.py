"""The interface, and the one place that decides which implementation a URI means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple


class Entry(NamedTuple):
    """One object as listed."""

    path: str
    """Relative to the store's root, `/` between its parts."""
    size: int
    etag: str
    """Changes when the content may have changed; an opaque word of the store."""
    archived: bool = False
    """The object is in cold storage and cannot be read now."""
    plain: bool = True
    """Not a pipe, a socket or a device, which a folder may hold beside files."""


LeftOut = Callable[[str], bool]


def nothing(_path: str) -> bool:
    """Nothing is left out."""
    return False


class Store(ABC):
    """A flat space of whole objects below `uri`. Instances are cheap, thread-safe and may cross processes by URI."""

    uri: str

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The whole object. Raises NotFound, AccessDenied, StorageUnavailable."""

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """The whole object as a file, for one that is too large to be held. Raises what `read` does."""

    @abstractmethod
    def read_version(self, path: str, etag: str) -> bytes:
        """The whole object if it still has the etag it was listed with. Raises ObjectChanged when it has another one."""

    @abstractmethod
    def write(self, path: str, data: bytes | BinaryIO) -> None:
        """Create or replace an object, all at once. A file is written from its start, piece by piece, and stays open."""

    @abstractmethod
    def create(self, path: str, data: bytes) -> None:
        """Create an object that must not exist yet; of any number of racing callers one wins, the others get AlreadyExists."""

    @abstractmethod
    def exists(self, path: str) -> bool: ...

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose path starts with `prefix`, streaming, in path order within a folder or page."""

    @abstractmethod
    def find(self, path: str) -> Entry | None:
        """One object as it is listed now, if it is."""

    @abstractmethod
    def walk(self, left_out: LeftOut = nothing) -> Iterator[Entry]:
        """Every object in any order, by as many requests at once as the store takes.

        `left_out` is asked about every path, and about that of a folder (with `/` at its end) before it is looked into.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is fine."""

    def leftovers(self) -> Iterator[Entry]:
        """What killed writes left behind, and writes under way, which look the same. A bucket shows neither."""
        return iter(())

    def locate(self, path: str) -> str:
        """The full address of an object, for people."""
        return f"{self.uri.rstrip('/')}/{path}"

    def link(self, path: str, kind: str, served: str | None = None) -> str | None:  # noqa: ARG002 - a folder has no type
        """An http address at which a browser gets an object as that media type; None where the store has no such thing.

        `served`: the address of the store itself, where browsers reach it by another than programs do.
        """
        return f"{served.rstrip('/')}/{path}" if served else None
