"""Memory that this process and one child share: a file without a name, so nothing is left behind however either of them ends.

Bytes and pixels lie here; only words go through pipes. A pipe holds 64 kB, so a picture in it is many short sleeps of both
ends, and a writer whose reader has stopped sleeps for ever.
"""

from __future__ import annotations

import mmap
import os
import tempfile

PAGE = mmap.PAGESIZE


class Memory:
    """Grows when asked and keeps its room: untouched pages take none. `file` is a descriptor that both processes hold."""

    def __init__(self, file: int | None = None) -> None:
        self.file = _nameless() if file is None else file
        self._map: mmap.mmap | None = None

    def room(self, size: int) -> memoryview:
        """The shared bytes, at least `size` of them. Views of a smaller room stay valid."""
        size = max(PAGE, -(-size // PAGE) * PAGE)
        if self._map is None or len(self._map) < size:
            if os.fstat(self.file).st_size < size:
                os.ftruncate(self.file, size)
            self._map = mmap.mmap(self.file, size)
        return memoryview(self._map)

    def clear(self) -> None:
        """Give the pages back to the system; the room stays."""
        if self._map is not None and hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        self._map = None
        os.close(self.file)


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("presel-pictures")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
