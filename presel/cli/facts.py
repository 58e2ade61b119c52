"""The last lines of a run: the same five facts in the same order, whatever it was."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from presel.cli.console import screen, visible
from presel.cli.options import DEFAULT_CONFIG
from presel.concurrency.progress import duration
from presel.dataset import changes, versions
from presel.runs import summary
from presel.runs.figures import dollars
from presel.sources.catalog import in_words, since_before

if TYPE_CHECKING:
    from presel.cli.prefect_run import Finished
    from presel.runs.summary import Summary

_REASONS = 4


def show_facts(facts: dict[str, list[str]]) -> None:
    """Each under its name. Sentences are folded beside it in a terminal; a command to paste stays on one line."""
    for name, lines in facts.items():
        folded = [piece for line in lines for piece in _folded(visible(line))]
        for number, line in enumerate(folded):
            screen.print(f"{name if number == 0 else '':9}{line}", markup=False, soft_wrap=True)


def _folded(line: str) -> list[str]:
    if not screen.is_terminal or line.startswith(_program()):
        return [line]
    return textwrap.wrap(line, max(20, screen.width - 10), break_long_words=False, break_on_hyphens=False)


def facts(
    finished: Finished, of_run: Summary, config: Path = DEFAULT_CONFIG, page: Path | None = None
) -> dict[str, list[str]]:
    """Of a refresh: version, what changed, what it cost and saved, what was refused, what to do next."""
    return {
        "Version": [_version(finished)],
        "Changed": [_changed(finished), in_words(since_before(finished.record.catalog, finished.record.samples))],
        "Cost": _cost(finished, of_run),
        "Refused": [refused(of_run, config)],
        "Next": [*_held_back(of_run, config), *_next(finished, config, page)],
    }


def plan_facts(finished: Finished, of_run: Summary, config: Path) -> dict[str, list[str]]:
    """The same of a plan, which publishes nothing."""
    newest = (
        f"version {finished.before} stays the newest" if finished.before is not None else "nothing is published yet"
    )
    low, high = (sum(row[name] or 0.0 for row in of_run.plan) for name in ("price_low_usd", "price_high_usd"))
    rest = sum(row["price_usd"] or 0.0 for row in of_run.plan)
    price = f"Instructing the quota costs about {dollars(rest)} (between {dollars(low)} and {dollars(high)})."
    everything = f"Instructing every usable image would cost about {dollars(of_run.money.everything)}."
    if any(row["price_usd"] is None and row["quota"] for row in of_run.plan):
        from presel.instruct.money.bounds import one_each

        generator = finished.record.config.generator
        counts = ({row["task"]: row[what] for row in of_run.plan} for what in ("quota", "usable"))
        quota, usable = (dollars(one_each(images, generator)) for images in counts)
        price = f"Nothing is answered yet, so there are no prices from answers: the quota is expected to cost {quota}."
        everything = f"Every usable image is expected to cost {usable}."
    return {
        "Version": [f"a plan publishes none; {newest}"],
        "Changed": [in_words(since_before(finished.record.catalog, finished.record.samples))],
        **({"Weights": [note]} if (note := finished.record.config.reference_model.note) else {}),
        "Cost": [f"This plan paid {dollars(finished.spent_usd)}.", price, everything, *_over_budget(of_run)],
        "Refused": [refused(of_run, config)],
        "Next": [*_waiting(of_run, config), "instruct the quota and publish:", command("run", config), _took(finished)],
    }


def command(words: str, config: Path) -> str:
    """A command of presel to paste, for that configuration."""
    named = "" if config == DEFAULT_CONFIG else f" -c {shlex.quote(str(config))}"
    return f"{_program()} {words}{named}"


def _program() -> str:
    """As this shell finds it."""
    called = Path(sys.argv[0])
    if called.name != "presel":
        return "presel" if shutil.which("presel") else "python -m presel"
    return "presel" if shutil.which("presel") else shlex.quote(str(called))


def refused(of_run: Summary, config: Path) -> str:
    """How many images and answers, most frequent reasons first."""
    counts = of_run.reject_counts()
    if not counts:
        return "nothing"
    shown = [f"{count:,} {reason}" for reason, count in list(counts.items())[:_REASONS]]
    others = sum(counts.values()) - sum(list(counts.values())[:_REASONS])
    said = ", ".join([*shown, f"{others:,} for other reasons"] if others else shown)
    return f"{sum(counts.values()):,} images: {said}; `{command('status', config)}` lists them"


def _version(finished: Finished) -> str:
    made = finished.record.dataset
    if made is None:
        return "none"
    again = ", as before" if made.version == finished.before else ""
    return f"{made.version} of {made.name}{again}: {made.records:,} records in {made.uri}"


def _changed(finished: Finished) -> str:
    """From the published diff, so that it says what the version itself says."""
    made = finished.record.dataset
    if made is None or made.version == finished.before:
        return "nothing: pool and settings are what they were"
    told = json.loads(versions.file(made, "diff.json"))
    moved = changes.in_words(told["records"])
    return f"{moved} against version {told['before']}" if told["before"] else f"{moved}: the first version"


def _cost(finished: Finished, of_run: Summary) -> list[str]:
    paid, everything = of_run.money.paid, of_run.money.everything
    reused = max(0.0, paid - finished.spent_usd)
    paid_now = f"This run paid {dollars(finished.spent_usd)}, and {dollars(reused)} was paid before"
    return [f"{paid_now}; every usable image would have cost about {dollars(everything)}.", *_over_budget(of_run)]


def _over_budget(of_run: Summary) -> list[str]:
    return [of_run.over_budget] if of_run.over_budget else []


def unpaid(of_run: Summary) -> int:
    """Chosen images that the money cap held back."""
    from presel.images.reasons import Reason

    return of_run.reject_counts().get(Reason.CAP_REACHED, 0)


def pending(of_run: Summary) -> int:
    """Chosen images that people have not written about yet."""
    from presel.images.reasons import Reason

    return of_run.reject_counts().get(Reason.PENDING, 0)


def _held_back(of_run: Summary, config: Path) -> list[str]:
    return [*_waiting(of_run, config), *_unpaid(of_run, config)]


def _waiting(of_run: Summary, config: Path) -> list[str]:
    if not (count := pending(of_run)):
        return []
    return [f"{count:,} images wait for people; write their tasks:", command("handoff --to FOLDER", config)]


def _unpaid(of_run: Summary, config: Path) -> list[str]:
    if not (count := unpaid(of_run)):
        return []
    held = f"{count:,} chosen images are not paid for, as the money cap is reached; with another cap:"
    return [held, command("run --set generator.max_cost=DOLLARS", config)]


def _next(finished: Finished, config: Path, page: Path | None) -> list[str]:
    address = page or summary.report_address(finished.record)
    return [f"open {address}", "train on it:", command("export --to FOLDER", config), _took(finished)]


def _took(finished: Finished) -> str:
    return f"This took {duration(finished.seconds)}, from the command's start to here."
