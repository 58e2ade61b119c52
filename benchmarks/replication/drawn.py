"""Drawn pools: the demo's eleven tasks, more of them, with much redundancy and with little.

    python -m benchmarks.replication.drawn FOLDER --variant much --size 10000

A pool is bursts of photographs or it is not, and what a selection can gain depends on it; hence two variants. Base and test
pictures are of other indices than the pool's and never retakes, and the same in both. Pictures of at most 160 pixels: the
small LVLM sees 96.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.replication.pools import Row, write
from presel.demo.drawing.encode import encode
from presel.demo.drawing.tasks import TASKS, Redundancy, sketch

VARIANTS = {"much": Redundancy(retakes=0.6, scenes=25), "little": Redundancy(retakes=0.05, scenes=4)}
NONE = Redundancy(retakes=0.0)
FIRST_INDEX = {"pool": 0, "base": 1_000_000, "test": 2_000_000}
LONGEST = 160
BASE, TEST = 1.6, 0.22  # pictures of these splits for each of the pool's


def draw_pool(folder: Path, variant: str, size: int, seed: int = 0) -> Path:
    """A folder as `pools.Pool` reads it, unless it is there; `size` pictures to choose from. About 5 ms a picture."""
    if (folder / "truth.jsonl").exists():
        return folder
    rows: list[Row] = []
    for split, task, count in _counts(size):
        redundancy = VARIANTS[variant] if split == "pool" else NONE
        rows += [_draw(folder, split, task, index, seed, redundancy) for index in range(count)]
    write(folder, rows)
    return folder


def _counts(size: int) -> Iterator[tuple[str, str, int]]:
    """The pool by its shares; base and test half by share and half evenly, so that no task is too small to be learned."""
    for task, spec in TASKS.items():
        mixed = 0.5 * spec.share + 0.5 / len(TASKS)
        yield "pool", task, max(2, round(spec.share * size))
        yield "base", task, max(2, round(mixed * BASE * size))
        yield "test", task, max(2, round(mixed * TEST * size))


def _draw(folder: Path, split: str, task: str, index: int, seed: int, redundancy: Redundancy) -> Row:
    picture = sketch(task, FIRST_INDEX[split] + index, seed, longest=LONGEST, redundancy=redundancy)
    rng = Random(f"{seed}/{task}/{split}/{index}/file")
    extension, data = encode(rng, picture.image, graphic=TASKS[task].graphic)
    key = f"{task}/{split}-{index:06d}.{extension}"
    path = folder / "images" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    pairs = tuple((qa.question, qa.answer) for qa in picture.facts.questions)
    return Row(key, task, split, pairs, picture.facts.caption)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="much")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw_pool(given.folder, given.variant, given.size, given.seed)


if __name__ == "__main__":
    main()
