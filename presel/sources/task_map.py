"""Keys and their tasks, in 12 bytes a key: a dictionary of strings takes 260.

A mapping may name as many keys as a pool holds, and is needed while the pool is listed. So it keeps of each key a hash of eight
bytes, sorted, and looks a key up by bisection, a microsecond. That a listed key which the mapping does not name hashes like one
that it does has, for a million of each, a chance of 1 in 20 million.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

EXAMPLES = 1000
Pairs = Iterable[tuple[str | None, str | None]]


class TaskMap:
    """`add` what files say, `complete` it, then ask `tasks_of(key)`."""

    def __init__(self, root: str) -> None:
        """`root`: what keys may begin with."""
        self.digest = ""
        self.examples: list[str] = []
        """The first keys that were named."""
        self._root, self._count = root, 0
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        self._keys, self._tasks = array("Q"), array("I")

    def add(self, pairs: Pairs) -> None:
        """(key, task) of one file; a pair in which either is empty says nothing."""
        for named, task in pairs:
            if named and task:
                key = relative(named, self._root)
                if len(self.examples) < EXAMPLES:
                    self.examples.append(key)
                self._keys.append(hashed(key))
                self._tasks.append(self._codes.setdefault(task, len(self._codes)))

    def complete(self, digest: str) -> None:
        """`digest`: of all that was added."""
        self.digest, self._names = digest, list(self._codes)
        keys, tasks = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._tasks, np.uint32)
        order = np.lexsort((tasks, keys))
        keys, tasks = keys[order], tasks[order]
        fresh = np.ones(len(keys), np.bool_)
        fresh[1:] = (keys[1:] != keys[:-1]) | (tasks[1:] != tasks[:-1])
        keys, tasks = keys[fresh], tasks[fresh]
        self._keys, self._tasks = array("Q", keys.tobytes()), array("I", tasks.tobytes())
        self._count = int((keys[1:] != keys[:-1]).sum()) + (len(keys) > 0)

    def __len__(self) -> int:
        """Distinct keys."""
        return self._count

    def tasks_of(self, key: str) -> tuple[str, ...]:
        """Sorted; none for a key that is not named."""
        wanted = hashed(key)
        first = last = bisect_left(self._keys, wanted)
        while last < len(self._keys) and self._keys[last] == wanted:
            last += 1
        return tuple(sorted(self._names[code] for code in self._tasks[first:last]))


def relative(named: str, root: str) -> str:
    """A name in a mapping as a key below `root`: from an absolute path or an address, and from Windows' way to write one."""
    path = named.replace("\\", "/")
    for start in (root, root.lstrip("/"), "./", "/"):
        path = path.removeprefix(start)
    return path


def hashed(key: str) -> int:
    """Of its composed form: a Mac writes `é` as two characters, most datasets as one. A backslash is a slash."""
    key = unicodedata.normalize("NFC", key).replace("\\", "/")
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
