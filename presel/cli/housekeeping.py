"""`presel gc`, `verify`, `cancel`: what a store no longer needs, whether it holds what it should, and stopping well."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from presel.cli.console import screen, show, table
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.config.file import load


def gc(
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    delete: Annotated[bool, typer.Option("--delete", help="Remove what was marked by an earlier `presel gc`.")] = False,
    grace: Annotated[
        float, typer.Option(min=0, max=87_600, help="Hours that must lie between marking and removing.")
    ] = 144.0,
    as_json: AsJson = False,
) -> None:
    """Mark what neither a version nor the latest record needs. Removes nothing without --delete."""
    from presel.runs.housekeeping.gc import collect

    found = collect(load(config, overrides).store, delete, timedelta(hours=grace))

    def words() -> None:
        rows = [{"output": kind, "files": n, "MB": size / 1e6} for kind, (n, size) in found.stages.items()]
        if rows:
            table(rows, {"output": "output", "files": "files", "MB": "MB"})
        screen.print(
            f"{found.files} files ({found.bytes / 1e6:.1f} MB) are not needed, {found.due} of them were marked {grace:g} hours "
            f"ago or before; {found.freed / 1e6:.1f} MB removed.",
            soft_wrap=True,
        )
        for run in found.waits_for:
            since = run.since.strftime("%Y-%m-%d %H:%M UTC")
            screen.print(f"A run is under way since {since} ({run.run}): nothing is removed before it has ended.")
        if found.due and not delete and not found.waits_for:
            screen.print("`presel gc --delete` removes those.")

    show(found._asdict(), as_json, words)


def verify(
    version: Annotated[int | None, typer.Argument(min=1, help="A version number; the latest if left out.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    pictures: Annotated[bool, typer.Option("--pictures", help="Read every published picture and compare it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that a version's files, its tables and its paid answers are what was written. Exit code 4 if not."""
    from presel.dataset import versions
    from presel.errors import IntegrityError, NotFound
    from presel.runs.housekeeping.verify import record_of
    from presel.runs.housekeeping.verify import verify as check

    settings = load(config, overrides)
    name = settings.dataset.name
    ref = versions.find(settings.store, name, version) if version else versions.latest(settings.store, name)
    if ref is None:
        raise NotFound(f"dataset '{name}' has no version yet", where=settings.store, fix="run `presel run`")
    record = record_of(ref, settings.store)
    wrong = check(ref, record, settings.source if pictures else None)
    of_what = "its files, the tables it was made from and its paid answers" if record else "its files"

    def words() -> None:
        for line in wrong:
            screen.print(line, markup=False, soft_wrap=True)
        screen.print(f"Version {ref.version}: {len(wrong)} faults in {of_what}.")

    show({"version": ref, "inputs": record is not None, "wrong": wrong}, as_json, words)
    if wrong:
        raise typer.Exit(IntegrityError.exit_code)


def cancel(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Stop this dataset's runs on the Prefect server. What has been asked for is waited for and kept; nothing more is sent."""
    from presel.cli.cancelling import cancel_runs

    cancelled = cancel_runs(load(config, overrides))

    def words() -> None:
        for name in cancelled.asked:
            screen.print(f"cancelling {name}", markup=False)
        for name in cancelled.by_hand:
            screen.print(f"{name} was not started by a worker: stop its process with Ctrl-C or SIGTERM", markup=False)
        if not cancelled.asked and not cancelled.by_hand:
            screen.print("nothing of this dataset is running on the server")

    show(cancelled._asdict(), as_json, words)
