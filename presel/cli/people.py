"""`presel handoff` and `presel handin`: people write the instructions, in a labelling tool of their own."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from presel.cli.console import complaints, screen, show, table
from presel.cli.live import Live
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.concurrency.progress import duration, listening
from presel.config.file import load
from presel.errors import InputError
from presel.runs import run_record
from presel.runs.figures import dollars
from presel.storage import open_store

_SHOWN = 20


def handoff(
    to: Annotated[str, typer.Option(help="A folder, or s3://bucket/prefix, for the files.")] = "handoff",
    of: Annotated[
        Literal["reference", "selection"] | None,
        typer.Option(help="Which set. Default: the reference set as long as any of it waits."),
    ] = None,
    pictures: Annotated[
        str, typer.Option(help="link, s3, inline, or an address with {key} in it. Default: link on S3, else inline.")
    ] = "auto",
    drafts: Annotated[
        bool, typer.Option("--drafts", help="Buy a draft of each from the API first, for people to correct.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: AsJson = False,
) -> None:
    """Write what waits for people as Label Studio tasks, JSONL and CSV. Free, but for drafts."""
    from presel.instruct.people.handing import hand_out
    from presel.runs.pending import pending, why_picked

    settings = load(config, overrides)
    name, rows = pending(run_record.latest(settings.store, settings.dataset.name), of)
    if not rows:
        fix = "`generator.kind: people`, or `by: people` for a task, then `presel plan` or `presel run`"
        raise InputError("nothing waits for people", where=settings.store, fix=fix)
    with Live(complaints) as live, listening(live):
        done = hand_out(
            rows,
            why_picked,
            store=settings.store,
            source=settings.source,
            generator=settings.generator,
            images=settings.encoder.images,
            to=to,
            pictures=pictures,
            drafts=drafts,
        )

    def words() -> None:
        drafted = f", {done.drafts:,} with a draft" if drafts else ""
        screen.print(
            f"{done.tasks:,} pictures of the {name}{drafted}, expected to cost {dollars(done.expected_usd)} of people's time:"
        )
        screen.print("\n".join(done.files), markup=False, soft_wrap=True)
        if done.held_back:
            said = f"{done.held_back:,} more are held back: the money cap has no room for them (generator.max_cost)."
            screen.print(said, soft_wrap=True)
        _show_refused([refused._asdict() for refused in done.rejects])

    rejects = [refused._asdict() for refused in done.rejects]
    show({**vars(done), "rejects": rejects, "set": name}, as_json, words)


def handin(
    files: Annotated[list[str], typer.Argument(help="An export (JSON, JSONL, CSV), or a folder or S3 prefix of them.")],
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Take what people wrote into the ledger. Twice is as good as once; the next run uses it."""
    from itertools import chain

    from presel.instruct.people.returned import read
    from presel.instruct.people.taking import take

    settings = load(config, overrides)
    done = take(open_store(settings.store), settings.generator.people, chain.from_iterable(map(read, files)))
    rejects = [refused._asdict() for refused in done.refused]

    def words() -> None:
        more = [f"{done.further:,} of them second opinions"] if done.further else []
        more += [f"{done.skipped:,} skipped"] if done.skipped else []
        more += [f"{done.known:,} known already"] if done.known else []
        screen.print(", ".join([f"{done.taken:,} new answers", *more]) + ".")
        screen.print(f"They took people {duration(done.seconds)}, which costs {dollars(done.cost_usd)}.")
        _show_refused(rejects)

    show({**vars(done), "refused": rejects}, as_json, words)
    if rejects and not done.taken and not done.known:
        raise typer.Exit(2)


def _show_refused(rejects: list[dict[str, object]]) -> None:
    if rejects:
        screen.print(f"{len(rejects):,} refused:")
        table(rejects[:_SHOWN], {"place": "where", "reason": "reason", "detail": "detail"})
        if len(rejects) > _SHOWN:
            screen.print(f"and {len(rejects) - _SHOWN:,} more: `--json` has all of them.")
