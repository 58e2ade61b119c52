"""The evidence: `python -m benchmarks.replication` (or `make evidence`) runs what is not known yet and prints the table.

--pool FOLDER     a pool as pools.py reads it; without it the drawn pools, much and little redundancy, are made and used
--work FOLDER     stores, bases and results; what is there is gone on from, after a kill too
--arms --budgets --seeds --training    what is compared; everything by default, the most informative first
--minutes N       all of it, base and tables too; no arm is started that would not end in time
--size N          pictures of a drawn pool to choose from; --base N: captions the base is trained on
    --passes N        over the pool, of a training matched in steps; --questions N: of a task's test at most
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.replication.annotator import annotator
from benchmarks.replication.arms import ARMS, BUDGETS, ENDPOINT, KEY, Setting, Trial, config_of, trials, tuning_of
from benchmarks.replication.base import Recipe, base_of
from benchmarks.replication.drawn import VARIANTS, draw_pool
from benchmarks.replication.pools import Pool
from benchmarks.replication.results import Results, findings, table
from benchmarks.replication.scoring import Question, held_out, right
from benchmarks.replication.shares import write_shares
from benchmarks.replication.trial import choose, tune
from presel.demo.endpoint import serve
from presel.demo.setting import environment

log = logging.getLogger(__name__)
STEPS = 1500
"""Of a training matched in steps, at most: a pool of any size has its arms in minutes."""
FOR_TABLES = 30.0


@dataclass(frozen=True)
class Study:
    """A pool with all that its arms share."""

    pool: Pool
    work: Path
    setting: Setting
    questions: list[Question]
    results: Results

    def run(self, trial: Trial) -> None:
        """One arm, unless its line is there."""
        if trial in self.results.lines:
            return
        started = time.time()
        if trial.arm == "base":
            plain = tuning_of(trial, self.setting, config_of(trial, self.setting))
            bits = right(self.pool, self.questions, plain, {})
            self.results.add(trial, bits, cost_usd=0.0, choosing_seconds=0.0, records=0)
        else:
            chosen = choose(trial, self.setting, self.work)
            tuned = tune(trial, self.setting, chosen)
            scoring = time.process_time()
            bits = right(self.pool, self.questions, tuned.config, tuned.adapter)
            named = ("irs", "weight", "supply", "quota", "reference", "shortfall")
            self.results.add(
                trial, bits, records=chosen.dataset.records, cost_usd=round(chosen.cost, 6),
                choosing_seconds=round(sum(v for k, v in chosen.seconds.items() if k not in ("instruct", "publish")), 1),
                seconds={**chosen.seconds, "tune": round(tuned.seconds, 1), "score": round(time.process_time() - scoring, 1)},
                tasks={row["task"]: {name: row[name] for name in named} for row in chosen.tasks}, loss=round(tuned.loss, 4),
            )  # fmt: skip
        score = self.results.macro(self.results.matrix(trial.arm, trial.budget, trial.training, [trial.seed]))
        log.info("%s, %s: %.1f %% macro, %.0f s", self.pool.name, trial.name, 100 * score, time.time() - started)


@contextmanager
def study(pool: Pool, work: Path, recipe: Recipe, passes: float, questions: int, seconds: float) -> Iterator[Study]:
    """The pool laid out, its base trained, its annotator listening. `passes`: over the pool, of a training matched in steps;
    `seconds`: all there is, of which the base may take a quarter."""
    folder = work / pool.name
    mapping, base = pool.lay_out(folder), base_of(pool, work, recipe, seconds / 4)
    asked = held_out(pool, questions)
    setting = Setting(
        str(folder / "images"), str(mapping), str(folder / "store"), str(base),
        steps=min(STEPS, max(1, round(passes * len(pool.split("pool")) / Setting.batch))),
    )  # fmt: skip
    results = Results(work / "results" / f"{pool.name}.jsonl", [one.task for one in asked])
    with serve(annotator(pool, folder)) as endpoint, environment(**{ENDPOINT: endpoint.url, KEY: "evidence"}):
        yield Study(pool, folder, setting, asked, results)


def main(arguments: list[str] | None = None) -> None:
    given = _given(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("benchmarks.replication").setLevel(logging.INFO)
    log.setLevel(logging.INFO)
    _one_thread()
    work = given.work.absolute()
    until = time.time() + 60 * given.minutes
    folders = given.pool or [draw_pool(work / "pools" / name, name, given.size) for name in sorted(VARIANTS)]
    for n, folder in enumerate(folders):
        left = (until - time.time()) / (len(folders) - n)
        stop = time.time() + left - FOR_TABLES
        pool = Pool(folder.absolute())
        with study(pool, work, Recipe(pictures=given.base), given.passes, given.questions, left) as one:
            _run(one, trials(given.arms, given.budgets, given.seeds, given.training), stop)
            for training in given.training:
                if any(trial.training == training for trial in one.results.lines):
                    print(f"\n{one.pool.name}, trained for the same {training}\n\n{table(one.results, training)}")
                    print(findings(one.results, training))
        print(write_shares(one.results, work))


def _run(one: Study, wanted: list[Trial], stop: float) -> None:
    """As many as end in time, by the longest so far."""
    longest = 0.0
    for number, trial in enumerate(wanted):
        started = time.time()
        if started + longest >= stop:
            log.warning("%s: no time for %d more of %d trials", one.pool.name, len(wanted) - number, len(wanted))
            break
        one.run(trial)
        longest = max(longest, time.time() - started)


def _one_thread() -> None:
    """So that results do not depend on the number of cores, and two studies can run side by side."""
    import torch

    torch.set_num_threads(1)


def _given(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, action="append")
    parser.add_argument("--work", type=Path, default=Path("presel-evidence"))
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), metavar="ARM")
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--training", nargs="+", choices=("steps", "epochs"), default=["steps", "epochs"])
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--base", type=int, default=Recipe().pictures)
    parser.add_argument("--passes", type=float, default=2.4)
    parser.add_argument("--questions", type=int, default=250)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
