"""The figure of docs/evidence.md: every arm's score with its interval, full data and the base as lines.

python -m benchmarks.replication.plots RESULTS.jsonl POOL OUT.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.replication.pools import Pool
from benchmarks.replication.results import Results
from benchmarks.replication.scoring import held_out


def scores(results: Results, out: Path, training: str = "steps") -> None:
    """Macro accuracy of the arms of one budget, best above."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "evidence"
    from matplotlib import pyplot

    chosen = sorted({(t.arm, t.budget) for t in results.lines if t.training == training})
    found = {one: results.interval(results.matrix(*one, training, results.seeds(*one, training))) for one in chosen}
    lines = {arm: value for (arm, _), value in found.items() if arm in ("base", "full")}
    bars = sorted(((value, one) for one, value in found.items() if one[0] not in lines), key=lambda pair: pair[0].value)
    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(bars) + 1))
    for place, (value, _) in enumerate(bars):
        axes.plot([100 * value.low, 100 * value.high], [place, place], color="#4a6fa5", linewidth=2)
        axes.plot(100 * value.value, place, "o", color="#4a6fa5")
    for arm, value in lines.items():
        axes.axvline(100 * value.value, color="#888", linestyle="--" if arm == "base" else "-", linewidth=1)
        axes.annotate(arm, (100 * value.value, len(bars) - 0.4), ha="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [f"{arm} {budget:.0%}" for _, (arm, budget) in bars])
    axes.set_xlabel("held-out questions answered exactly, mean over tasks, %")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(out, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=int, default=250)
    given = parser.parse_args()
    tasks = [one.task for one in held_out(Pool(given.pool), given.questions)]
    scores(Results(given.results, tasks), given.out)


if __name__ == "__main__":
    main()
