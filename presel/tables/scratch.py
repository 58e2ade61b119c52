"""A folder for what is sorted or spilled on disk while a stage runs, gone with it.

It lies where `TMPDIR` says, which is seldom the disk that a person has watched: when it is full, its name and that variable are
what they need to know, and Arrow's own words have neither.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from presel.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def scratch(stage: str) -> Iterator[Path]:
    """An empty folder. Raises StorageError when its disk takes no more."""
    with TemporaryDirectory(prefix=f"presel-{stage}-") as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            fix = "make room there, or set TMPDIR to a folder on a larger disk, and run again"
            raise StorageError(f"no room for temporary files ({error})", where=folder, fix=fix) from error
