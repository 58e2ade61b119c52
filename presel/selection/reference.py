"""The reference set: a uniform random share of every task, at least one sample (METHOD, step 1).

Each sample gets a pseudo-random priority from the seed and its own id, and the lowest are drawn ("bottom-k" sampling). That
is uniform like a shuffled list, and it survives change: the order of listing does not matter, and when a pool grows,
a sample that was drawn stays drawn unless a new one comes before it, so a refresh pays only for the top-up.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence


def reference_size(samples: int, share: float) -> int:
    """The share of a task's samples, rounded half up, at least one; 0 only for an empty task."""
    return min(samples, max(1, math.floor(share * samples + 0.5)))


def draw_order(ids: Sequence[str], seed: int) -> list[int]:
    """Positions in draw order: by a keyed digest of the id, so neither input order nor other samples matter."""

    def priority(position: int) -> bytes:
        return hashlib.blake2b(ids[position].encode(), key=f"reference {seed}".encode(), digest_size=16).digest()

    return sorted(range(len(ids)), key=priority)
