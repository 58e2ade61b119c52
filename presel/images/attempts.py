"""What an attempt that never ended leaves behind: a small object on the store, taken away by every attempt that does end.

A decoder that crashes takes its process along, so nobody is left to say which image it was. The next attempt at the same part
finds the mark, decodes every image of the part in child processes, and loses the one image that way. A worker that was
killed for another reason leaves the same mark; its part is then decoded the slow way once, which costs time only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from presel.storage import open_store


@contextmanager
def attempt(store: str, stage: str, key: str) -> Iterator[bool]:
    """Whether an earlier attempt at this output died. Errors end an attempt, too: only a lost process does not."""
    place, mark = open_store(store), f"attempts/{stage}/{key}"
    died = place.exists(mark)
    if not died:
        place.write(mark, b"")
    try:
        yield died
    finally:
        place.delete(mark)
