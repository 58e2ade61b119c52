"""A colour for each task that can be told apart on white and on near-black, and in most kinds of colour blindness.

Twelve, handed to the tasks with most points: nobody tells more apart. The others share a grey and can be lit up one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

COLOURS = (
    "#4269d0", "#e8a317", "#e4572e", "#3aa99f", "#3d9a50", "#ea7fb4",
    "#8f5bd6", "#7fb0f5", "#9c6b4e", "#a2a72a", "#b8336a", "#5d7a8c",
)  # fmt: skip
OTHER = "#9a9aa2"


def colours(tasks: Iterable[str]) -> dict[str, str]:
    """Task to colour, in order of name; `tasks` names a task once for every point it has."""
    counted = Counter(tasks)
    largest = sorted(counted, key=lambda task: (-counted[task], task))[: len(COLOURS)]
    given = dict(zip(sorted(largest), COLOURS, strict=False))
    return {task: given.get(task, OTHER) for task in sorted(counted)}
