"""What was refused, by stage and reason, with examples that a person can look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presel.images.reasons import Reason

EXAMPLES = 12
ALTOGETHER = 240
"""Examples of all reasons together."""


@dataclass(frozen=True)
class Group:
    """All rejects of one stage for one reason."""

    stage: str
    reason: str
    count: int
    share: float
    """Of the most frequent one, 0 to 100."""
    examples: Sequence[Mapping[str, Any]]

    @property
    def words(self) -> str:
        return self.reason.replace("_", " ")

    @property
    def meaning(self) -> str:
        """A sentence; nothing for a reason that this presel does not know."""
        return Reason(self.reason).explanation if self.reason in Reason.__members__.values() else ""


def grouped(rejects: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Most frequent first."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rejects:
        found[row["stage"], row["reason"]].append(row)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    most = len(ordered[0][1]) if ordered else 1
    each = max(3, min(EXAMPLES, ALTOGETHER // max(1, len(ordered))))
    return [
        Group(stage, reason, len(rows), round(100 * len(rows) / most, 2), rows[:each])
        for (stage, reason), rows in ordered
    ]


def picture_name(reject: Mapping[str, Any]) -> str:
    """What its picture is called: the sample, or the key of what never became one."""
    return str(reject["id"] or f"key {reject['key']}")
