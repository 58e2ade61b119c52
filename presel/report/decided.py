"""What a person wants to know first: what was decided, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from presel.report.contents import Contents
from presel.runs.figures import TaskLine, Totals


def decided(contents: Contents, lines: Sequence[TaskLine], sums: Totals) -> list[tuple[str, str]]:
    """A word and a sentence each."""
    said = [("The choice", _choice(contents.config, lines, sums)), ("The reference set", contents.verdict)]
    return [
        *[(word, words) for word, words in said if words],
        ("The seats", _seats(sums)),
        *([("Near-copies", _copies(contents))] if contents.copies else []),
        ("Not shown here", _EVIDENCE),
    ]


_EVIDENCE = (
    "whether a model learns more from these images than from others. That takes a training run: docs/evidence.md in "
    "presel's repository has it for drawn pools, with intervals, and make evidence measures it on a pool of yours."
)


def _choice(config: Mapping[str, Any], lines: Sequence[TaskLine], sums: Totals) -> str:
    chosen = [line for line in lines if line.picked]
    if not chosen:
        return "nothing was chosen beyond the reference set."
    most, least = (pick(chosen, key=lambda line: line.picked) for pick in (max, min))
    strategy = config["selection"]["strategy"].replace("_", " ")
    words = f"{sums.picked:,} images by strategy '{strategy}' under a budget of {100 * config['budget']['share']:g} %"
    if len(chosen) == 1:
        return f"{words}."
    return f"{words}; most of them in {_named(most.task)} ({most.picked:,}), fewest in {_named(least.task)} ({least.picked:,})."


def _seats(sums: Totals) -> str:
    if not sums.shortfall:
        return "every task had enough distinct images for its quota."
    more = "seats were more than their tasks have distinct images for; other tasks took them, as far as theirs reached."
    return f"{sums.shortfall:,} {more}"


def _copies(contents: Contents) -> str:
    out = sum(one.of for one in contents.copies)
    closest = max((pair.cosine for one in contents.copies for pair in one.alike), default=None)
    words = f"the guard took out {out:,}" if out else "the guard took out none"
    return words + (
        f"; the two picks that are most alike have a cosine of {closest:.3f}." if closest is not None else "."
    )


def _named(task: str) -> str:
    return task if task.strip() else "(no task)"
