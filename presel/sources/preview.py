"""What the rule for tasks makes of a source, before anything runs: tasks, how many objects each has, some of their names.

A wrong rule costs nothing as long as nobody has run it. What most often goes wrong has a sentence of its own: folders that are
splits, and a mapping whose names begin otherwise than the keys do.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from posixpath import basename

from presel.images import not_an_image_by_name
from presel.sources.source import Source

MOST = 200_000
"""Objects that are looked at."""
_NAMES = 3
_TASKS = 30
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"})


@dataclass
class Preview:
    counts: Counter[str] = field(default_factory=Counter)
    """Objects by task that may be images."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """The first names of each."""
    homeless: list[str] = field(default_factory=list)
    """Names that may be images and have no task."""
    whole: bool = True
    """All of the source was looked at."""
    advice: str = ""

    def lines(self) -> list[str]:
        """A line a task, the largest first."""
        shown = sorted(self.counts, key=lambda task: (-self.counts[task], task))[:_TASKS]
        told = [f"{task}: {self.counts[task]:,} ({', '.join(self.names[task])})" for task in shown]
        if len(self.counts) > _TASKS:
            told.append(f"and {len(self.counts) - _TASKS:,} more tasks")
        if self.homeless:
            told.append(f"without a task: {len(self.homeless):,} ({', '.join(self.homeless[:_NAMES])})")
        return told

    @property
    def words(self) -> str:
        """How much there is."""
        looked = "" if self.whole else f" among the first {MOST:,} objects"
        return f"{self.counts.total():,} possible images in {len(self.counts):,} tasks{looked}"


def preview(source: Source, without: str | None = None) -> Preview:
    """What a run would list, `without` the store at that address."""
    found, seen = Preview(), 0
    for key, task, entry in itertools.islice(source.entries(without), MOST + 1):
        seen += 1
        if not entry.plain or not_an_image_by_name(key):
            continue
        if not task:
            found.homeless.append(key)
            continue
        found.counts[task] += 1
        names = found.names.setdefault(task, [])
        if len(names) < _NAMES:
            names.append(key)
    found.whole = seen <= MOST
    found.advice = _advice(source, found)
    return found


def _advice(source: Source, found: Preview) -> str:
    if source.config.tasks == "prefix" and len(found.counts) > 1 and _SPLITS.issuperset(map(str.lower, found.counts)):
        return (
            "these are splits, not tasks: for the folders in them set source.tasks to {pattern: '*/{task}/**'}, "
            "for one task of all to single"
        )
    if source.task_map is not None and found.homeless and not found.counts:
        return _other_beginning(found.homeless, source.task_map.examples)
    return ""


def _other_beginning(keys: list[str], named: list[str]) -> str:
    """How names in a mapping differ from the keys, where the last part of some agrees."""
    by_name = {basename(name): name for name in named}
    pairs = [(key, by_name[basename(key)]) for key in keys if basename(key) in by_name]
    if not pairs:
        return f"the mapping names other files, such as {named[0]}: correct source.mapping or source.uri"
    key, name = pairs[0]
    if name.endswith(f"/{key}"):
        lacks = name.removesuffix(key)
        return f"the mapping says {name} where the source has {key}: set source.uri to the folder that holds {lacks}"
    return f"the mapping says {name} where the source has {key}: correct source.uri, or the names in the mapping"
