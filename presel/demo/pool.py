"""The demo's image pool on a store, and the answers to its questions.

The pool stands in for a bucket nobody has sorted; the answers stand in for what a vision API would see. Answers are keyed by
the digest of a file's bytes, not by its key, since a copy shows what its original shows and an annotator is only ever sent
the picture. 2,400 images take one process about 12 s, which leaves the second core to you.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from presel.demo import salt as salting
from presel.demo.drawing.tasks import TASKS, Drawn, TaskSpec, draw, sketch
from presel.demo.drawing.truth import QA, Facts
from presel.errors import InputError, IntegrityError

__all__ = [
    "QA", "TASKS", "Answers", "Drawn", "Facts", "TaskSpec", "draw", "images_per_task", "sketch", "write_pool",
]  # fmt: skip
_FORMAT = 1


@dataclass(frozen=True)
class Answers:
    """The ground truth of a pool by content digest (SHA-256 of a file's bytes, hexadecimal)."""

    facts: Mapping[str, Facts]

    def __len__(self) -> int:
        return len(self.facts)

    def get(self, digest: str) -> Facts | None:
        """What is known about a content, or None if the pool never held it."""
        return self.facts.get(digest)

    def save(self, path: Path) -> None:
        """Writes JSON, sorted: the same answers, the same bytes."""
        rows = {
            digest: {"questions": [[qa.question, qa.answer] for qa in facts.questions], "caption": facts.caption}
            for digest, facts in sorted(self.facts.items())
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": _FORMAT, "facts": rows}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Reads what `save` wrote. Raises IntegrityError on anything else."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != _FORMAT:
                raise IntegrityError(
                    "unknown format of answers", where=str(path), expected=_FORMAT, got=stored["format"]
                )
            return cls({digest: _facts(row) for digest, row in stored["facts"].items()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"not a file of answers: {error!r}", where=str(path), fix="draw the pool again"
            ) from error


def _facts(row: Mapping[str, object]) -> Facts:
    questions, caption = row["questions"], row["caption"]
    if not isinstance(questions, list) or not isinstance(caption, str):
        raise TypeError("questions must be a list and the caption a text")
    return Facts(tuple(QA(str(question), str(answer)) for question, answer in questions), caption)


def images_per_task(images: int) -> dict[str, int]:
    """How many of `images` each task gets: its share, rounded so that they add up to `images` exactly.

    Raises InputError when the smallest task would get less than one.
    """
    fewest = math.ceil(1 / min(spec.share for spec in TASKS.values()))
    if images < fewest:
        raise InputError("too few images for the demo pool", expected=f">= {fewest}", got=images)
    counts, share, given = {}, 0.0, 0
    for task, spec in TASKS.items():
        share += spec.share
        counts[task] = round(share * images) - given
        given += counts[task]
    return counts


def write_pool(
    store_put: Callable[[str, bytes], None],
    *,
    images: int = 2400,
    seed: int = 0,
    salt: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Puts the pool below its root, key by key, and returns what is true of every readable image.

    `images` counts the drawn ones; `salt` adds the broken and odd files of `presel.demo.salt`. `on_progress(done, total)` is
    called after every file. One seed gives the same keys and bytes in the same order on every run.
    """
    salted = salting.SALT if salt else ()
    total = images + len(salted)
    facts: dict[str, Facts] = {}
    for done, (key, data, known) in enumerate(_files(images, seed, salted), start=1):
        store_put(key, data)
        if known is not None:
            facts[hashlib.sha256(data).hexdigest()] = known
        if on_progress is not None:
            on_progress(done, total)
    return Answers(facts)


def _files(images: int, seed: int, salted: tuple[salting.Salted, ...]) -> Iterator[tuple[str, bytes, Facts | None]]:
    for task, count in images_per_task(images).items():
        for index in range(count):
            drawn = draw(task, index, seed)
            yield drawn.key, drawn.data, drawn.facts
    for grain in salted:
        made = grain.make(seed)
        yield grain.key, made.data, made.facts
