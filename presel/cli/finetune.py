"""`presel finetune`: the fine-tuning flow, in this process."""

from __future__ import annotations

from typing import Annotated

import typer

from presel.cli.console import screen, show
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.cli.prefect_run import run_finetune
from presel.config.file import load


def finetune(
    version: Annotated[int | None, typer.Argument(help="A version number; the latest if left out.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    held_out: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the records that is scored before and after, and not fitted.")
    ] = 0.05,
    export: Annotated[
        str | None,
        typer.Option(
            help="A folder or s3://… that `presel export` wrote: its pictures and its split in place of those."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit `reference_model.model` on a published version. Keeps the adapter on the store, with its curve and evaluation."""
    address = run_finetune(load(config, overrides), version, held_out, export)
    show({"model": address}, as_json, lambda: screen.print(f"The tuned model lies at {address}.", soft_wrap=True))
