"""Which images are held out of training, so that nothing in training shows them.

Images that are the same, or nearly, must stand on one side: a model that was shown a twin is not
tested by the other. So whole groups are held out, by a keyed digest and not by their place among
others. A pool grows, and its groups grow with it. An image must stay on its side, or a model would
be trained on what tested the one before. So the code goes through the versions from the first one
on: an image that comes to a group joins the group's side, and a new group is drawn. If a newcomer
ties two groups of different sides together, all of their images are held out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presel.config.keys import short_digest
from presel.errors import require

EXACT_UP_TO = 30_000
"""Rows that are all compared; of more, those near the same centroids are."""
_PROBES = 16
_BLOCK = 2048
SLACK = 1e-4
"""Vectors are stored in half precision: cosines err by less than this."""
Pairs = NDArray[np.int64]


def drawn(name: str, share: float) -> bool:
    """Whether the group of that name is held out."""
    return int(short_digest("held-out", name), 16) < share * 16**32


def held_out(ages: Mapping[str, int], twins: Iterable[tuple[str, str]], share: float) -> frozenset[str]:
    """Which images are held out.

    ages: the first version that has an image, by its digest; twins: pairs of digests that must stand on one side.
    """
    groups = _Groups(ages)
    of_age: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for one, other in twins:
        of_age[max(ages[one], ages[other])].append((one, other))
    by_age: dict[int, list[str]] = defaultdict(list)
    for name, age in ages.items():
        by_age[age].append(name)
    side: dict[str, bool] = {}
    for age in sorted(by_age):
        for one, other in of_age[age]:
            groups.join(one, other)
        _place(groups, by_age[age], of_age[age], side, share)
    return frozenset(name for name, held in side.items() if held)


def _place(
    groups: _Groups, new: Sequence[str], joined: Sequence[tuple[str, str]], side: dict[str, bool], share: float
) -> None:
    """Give the images of one age their side, and those that they tie together."""
    touched = {groups.root(name) for name in (*new, *(name for pair in joined for name in pair))}
    for root in touched:
        members = groups.members(root)
        known = [side[name] for name in members if name in side]
        held = any(known) if known else drawn(min(members), share)
        side.update(dict.fromkeys(members, held))


class _Groups:
    """Which images belong together (union by size)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._of = {name: [name] for name in names}

    def join(self, one: str, other: str) -> None:
        small, large = sorted((self._of[one], self._of[other]), key=len)
        if small is not large:
            large.extend(small)
            for name in small:
                self._of[name] = large

    def root(self, name: str) -> str:
        return self._of[name][0]

    def members(self, name: str) -> list[str]:
        return self._of[name]


def near(vectors: NDArray[np.float32], threshold: float) -> Pairs:
    """Pairs of rows whose cosine reaches the threshold: int64[p, 2], the smaller index first.

    vectors float32[n, d]. Up to EXACT_UP_TO rows all pairs are compared; of more, rows that share one of
    their nearest centroids.
    """
    from presel.selection.duplicates import unit_rows

    unit = unit_rows(vectors)
    if len(unit) <= EXACT_UP_TO:
        return _all_pairs(unit, threshold - SLACK)
    return _probed(unit, threshold - SLACK)


def _all_pairs(unit: NDArray[np.float32], threshold: float) -> Pairs:
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK]
        cosines = block @ unit[start:].T
        cosines[np.tril_indices(len(block))] = -1
        found.append(np.argwhere(cosines >= threshold) + start)
    return np.concatenate(found)


def _probed(unit: NDArray[np.float32], threshold: float) -> Pairs:
    require("gpu", f"finding copies among more than {EXACT_UP_TO:,} pictures")
    import faiss

    cells = round(len(unit) ** 0.5)
    index: Any = faiss.index_factory(unit.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(unit[:: max(1, len(unit) // (64 * cells))])
    index.add(unit)
    index.nprobe = min(_PROBES, cells)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(unit), _BLOCK):
        limits, _, near = index.range_search(unit[start : start + _BLOCK], threshold)
        rows = np.repeat(np.arange(start, start + len(limits) - 1), (limits[1:] - limits[:-1]).astype(np.int64))
        pairs = np.stack([rows, near], axis=1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)
