"""Do the tests notice when the code is wrong? Every file that decides about picks, money or ids, against its own tests.

    python -m benchmarks.mutants                                       all of FILES: hours
    python -m benchmarks.mutants presel/config/keys.py presel/selection/budget.py

mutmut changes one thing at a time (a comparison, a constant, an argument) in a copy of the checkout and runs the tests that
reach it. Printed for each file: how many changes a test noticed, and the names of the others. Ends with 1 where they are fewer
than 90 % of a file's. Lines that only word an error are left alone: tests do not hold its words to the letter.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEAST = 0.9
MONEY = ("tests/instruct/test_money.py", "tests/instruct/test_owners.py")
FILES: dict[str, tuple[str, ...]] = {
    "presel/config/keys.py": ("tests/test_keys.py",),
    "presel/selection/budget.py": ("tests/test_budget.py",),
    "presel/selection/centrality.py": ("tests/test_centrality.py",),
    "presel/selection/coverage.py": ("tests/test_coverage.py",),
    "presel/selection/duplicates.py": ("tests/test_duplicates.py", "tests/test_strategies.py"),
    "presel/selection/reference.py": ("tests/test_reference.py",),
    "presel/selection/reference_verdict.py": ("tests/test_weights.py", "tests/stages/test_plan.py"),
    "presel/selection/seats.py": ("tests/test_strategies.py", "tests/api"),
    "presel/selection/weights.py": ("tests/test_weights.py",),
    "presel/instruct/ledger.py": ("tests/instruct/test_ledger.py",),
    "presel/instruct/money/allowance.py": ("tests/instruct/test_bills.py",),
    "presel/instruct/money/drift.py": ("tests/instruct/test_bills.py", "tests/instruct/test_prices.py"),
    "presel/instruct/money/lease_log.py": (*MONEY, "tests/instruct/test_ledger.py"),
    "presel/instruct/money/owners.py": MONEY,
    "presel/instruct/money/prices.py": ("tests/instruct/test_prices.py",),
    "presel/instruct/money/purse.py": MONEY,
    "presel/images/jpeg.py": ("tests/images/test_damage.py", "tests/test_images.py"),
    "presel/images/png.py": ("tests/images/test_damage.py", "tests/test_images.py"),
    "presel/images/tiff.py": ("tests/images/test_damage.py", "tests/test_images.py"),
    "presel/dataset/records.py": ("tests/stages/test_publish.py",),
    "presel/dataset/versions.py": ("tests/dataset/test_versions.py",),
}
"""Each file, and the tests that hold it to what it says."""
WORDS = (r"raise ", r"Error\(", r"expected=", r"where=", r"what=", r"fix ?=", r"f?\".*\"\s*,?\s*$", r"log\.")
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="of FILES; all of them where none is named")
    names = parser.parse_args(argv).files or list(FILES)
    if unknown := [name for name in names if name not in FILES]:
        parser.error(f"no tests are named for {', '.join(unknown)}: add them to FILES")
    shares = [_share_noticed(name, tried(name, FILES[name])) for name in names]
    return int(min(shares) < LEAST)


def tried(name: str, tests: Sequence[str]) -> dict[str, str]:
    """What became of every changed version of a file: mutmut's name of it -> killed, or another outcome and the change."""
    with tempfile.TemporaryDirectory(prefix="presel-mutants-") as folder:
        _copy(Path(folder))
        with (Path(folder) / "pyproject.toml").open("a") as settings:
            settings.write(_settings(name, tests))
        _mutmut(folder, "run", "--max-children", "2")
        lines = _mutmut(folder, "results", "--all", "true").splitlines()
        found = dict(line.strip().split(": ", 1) for line in lines if "__mutmut_" in line)
        return {mutant: outcome + _change(folder, mutant, outcome) for mutant, outcome in found.items()}


def _change(folder: str, mutant: str, outcome: str) -> str:
    """The changed lines, where no test noticed."""
    if outcome in NOTICED:
        return ""
    lines = _mutmut(folder, "show", mutant).splitlines()
    return "".join(f"\n    {line}" for line in lines if line[:1] in "-+" and line[:3] not in ("---", "+++"))


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)


def _settings(name: str, tests: Sequence[str]) -> str:
    lists = {
        "source_paths": ["presel"],
        "only_mutate": [name],
        "do_not_mutate_patterns": list(WORDS),
        "also_copy": ["flows", "tasks", "deployments", "README.md"],
        "pytest_add_cli_args_test_selection": list(tests),
    }
    return "\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lists.items())


def _mutmut(folder: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would name the real files
    done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"mutmut {arguments[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _share_noticed(name: str, outcomes: dict[str, str]) -> float:
    missed = {mutant: outcome for mutant, outcome in outcomes.items() if outcome not in NOTICED}
    noticed = len(outcomes) - len(missed)
    counts = ", ".join(
        f"{count} {outcome}" for outcome, count in Counter(o.partition("\n")[0] for o in outcomes.values()).items()
    )
    print(f"{name}: {noticed / max(1, len(outcomes)):.0%} of {len(outcomes)}: {counts}", flush=True)
    for mutant, outcome in sorted(missed.items()):
        print(f"  {mutant}: {outcome}")
    return noticed / len(outcomes) if outcomes else 0.0


if __name__ == "__main__":
    sys.exit(main())
