"""Results: a line of JSON an arm, written as soon as it is known; scores and paired differences with their intervals.

A difference is paired by seed and question. Its interval is the 2.5th to the 97.5th percentile of 2,000 bootstrap draws, each
of seeds and, inside each task, of questions, with replacement: what another seed and other questions of the same kind could
have given. With fewer than three seeds the seeds' share of it is little more than a guess.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.replication.arms import Trial

Bits = npt.NDArray[np.float64]
DRAWS = 2000
LEAST = 20.0
"""Points that full data must gain over the base before arms can be compared."""


class Interval(NamedTuple):
    value: float
    low: float
    high: float


class Results:
    """The lines of one pool. A line cut short by a kill is passed over."""

    def __init__(self, path: Path, tasks: Sequence[str]) -> None:
        """`tasks`: that of each question, in the questions' order."""
        self.path = path
        names = sorted(set(tasks))
        self.tasks = names
        self._places = [np.flatnonzero(np.array([task == name for task in tasks])) for name in names]
        self.lines: dict[Trial, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            self._take(line)

    def _take(self, line: str) -> None:
        try:
            found = json.loads(line)
            trial = Trial(found["arm"], found["budget"], found["seed"], found["training"])
        except (ValueError, KeyError):
            return
        self.lines[trial] = found

    def add(self, trial: Trial, right: Sequence[int], **facts: Any) -> None:
        """Append at once; the line is on the disk when this returns."""
        document = {**trial._asdict(), **facts, "right": _packed(right)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(document, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines[trial] = document

    def seeds(self, arm: str, budget: float, training: str) -> list[int]:
        return sorted(t.seed for t in self.lines if (t.arm, t.budget, t.training) == (arm, budget, training))

    def matrix(self, arm: str, budget: float, training: str, seeds: Iterable[int]) -> Bits:
        """float64[seeds, questions] of 0 and 1."""
        rows = [_unpacked(self.lines[Trial(arm, budget, seed, training)]["right"]) for seed in seeds]
        return np.array(rows, dtype=np.float64)

    def macro(self, bits: Bits) -> float:
        """The mean over tasks of the share that is right; `bits` [seeds, questions]."""
        return float(np.mean([bits[:, places].mean() for places in self._places]))

    def by_task(self, bits: Bits) -> dict[str, float]:
        return {task: float(bits[:, places].mean()) for task, places in zip(self.tasks, self._places, strict=True)}

    def interval(self, bits: Bits, *, micro: bool = False) -> Interval:
        """Of a score, or of a difference of scores; the value and its interval."""
        generator = np.random.default_rng(0)
        groups = [np.arange(bits.shape[1])] if micro else self._places
        drawn = np.empty(DRAWS)
        for n in range(DRAWS):
            rows = bits[generator.integers(0, len(bits), len(bits))].mean(axis=0)
            drawn[n] = np.mean(
                [rows[places[generator.integers(0, len(places), len(places))]].mean() for places in groups]
            )
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(float(np.mean([bits[:, places].mean() for places in groups])), float(low), float(high))

    def difference(self, one: tuple[str, float], other: tuple[str, float], training: str) -> Interval | None:
        """Paired, `one` minus `other`, each an arm and a budget; None without a common seed."""
        seeds = sorted(set(self.seeds(*one, training)) & set(self.seeds(*other, training)))
        if not seeds:
            return None
        return self.interval(self.matrix(*one, training, seeds) - self.matrix(*other, training, seeds))


def table(results: Results, training: str = "steps", baselines: Mapping[str, float] | None = None) -> str:
    """The arms as Markdown, best first: score, share of full data, differences, money and seconds."""
    baselines = baselines or {"random": 0.15, "paper": 0.15}
    chosen = sorted({(t.arm, t.budget) for t in results.lines if t.training == training})
    full = results.seeds("full", 1.0, training)
    whole = results.macro(results.matrix("full", 1.0, training, full)) if full else float("nan")
    rows = []
    for arm, budget in chosen:
        seeds = results.seeds(arm, budget, training)
        bits = results.matrix(arm, budget, training, seeds)
        score = results.interval(bits)
        against = [results.difference((arm, budget), base, training) for base in baselines.items()]
        lines = [results.lines[Trial(arm, budget, seed, training)] for seed in seeds]
        cost = np.mean([line["cost_usd"] for line in lines])
        seconds = np.mean([line["choosing_seconds"] for line in lines])
        rows.append((score.value, [
            arm, f"{budget:.0%}", str(len(seeds)), _interval(score), f"{100 * float(bits.mean()):.1f}",
            f"{100 * score.value / whole:.1f} %" if whole > 0 else "", *map(_signed, against), f"${cost:.3f}", f"{seconds:.0f}",
        ]))  # fmt: skip
    names = [
        "arm",
        "budget",
        "seeds",
        "macro, %",
        "micro, %",
        "of full",
        *(f"minus {b}" for b in baselines),
        "paid",
        "CPU s",
    ]
    head = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for _, row in sorted(rows, key=lambda r: -r[0])]) + "\n"


COMPARED = (
    ("full data minus the base", ("full", 1.0), ("base", 0.0)),
    ("full data minus random", ("full", 1.0), ("random", 0.15)),
    ("ours minus full data", ("prior-coverage-auto", 0.15), ("full", 1.0)),
    ("ours minus random", ("prior-coverage-auto", 0.15), ("random", 0.15)),
    ("ours minus random, each task the same", ("prior-coverage-auto", 0.15), ("equal", 0.15)),
    ("ours minus paper", ("prior-coverage-auto", 0.15), ("paper", 0.15)),
    ("right weights minus reversed ones", ("prior-coverage-auto", 0.15), ("reversed", 0.15)),
)


def findings(results: Results, training: str = "steps") -> str:
    """The comparisons that matter in words, as far as their arms were run; first whether the pool can show anything at all."""
    known = {(t.arm, t.budget): t for t in results.lines if t.training == training or t.arm == "base"}
    lines = []
    for words, one, other in COMPARED:
        if one not in known or other not in known:
            continue
        # The base is one, in whatever way the others were trained.
        found = results.difference(one, other, training) if other[0] != "base" else _over_base(results, one, training)
        if found is not None:
            lines.append(f"{words}: {_signed(found)} points")
            if other[0] == "base" and 100 * found.value < LEAST:
                lines[-1] += f". LESS THAN {LEAST:.0f}: this setting can show nothing; train the base longer (--base)"
    return "".join(f"- {line}\n" for line in lines)


def _over_base(results: Results, one: tuple[str, float], training: str) -> Interval:
    seeds = results.seeds(*one, training)
    return results.interval(results.matrix(*one, training, seeds) - results.matrix("base", 0.0, "steps", [0]))


def _interval(found: Interval) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _signed(found: Interval | None) -> str:
    return "" if found is None else f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _packed(right: Sequence[int]) -> str:
    bits = np.packbits(np.array(right, dtype=np.uint8))
    return f"{len(right)}:{bits.tobytes().hex()}"


def _unpacked(text: str) -> npt.NDArray[np.uint8]:
    count, _, digits = text.partition(":")
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), dtype=np.uint8))[: int(count)]
