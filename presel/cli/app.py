"""`presel`: init, examples, doctor, plan, run, handoff, handin, status, explain, report, export, finetune, gc, verify, cancel,
demo, ledger."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from presel.cli import (
    demo,
    doctor,
    examples,
    export,
    finetune,
    housekeeping,
    inspect,
    ledger,
    people,
    run,
    start,
    stopping,
)
from presel.cli.console import explain_failure
from presel.errors import PreselError, __version__

app = typer.Typer(
    name="presel",
    help="Choose the images worth instructing, and pay only for those.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def _presel(
    version: Annotated[bool, typer.Option("--version", help="Say which presel this is.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"presel {__version__}")
        raise typer.Exit


app.command("init")(start.init)
app.command("examples")(examples.examples)
app.command("doctor")(doctor.doctor)
app.command("plan")(run.plan)
app.command("run")(run.run)
app.command("handoff")(people.handoff)
app.command("handin")(people.handin)
app.command("status")(inspect.status)
app.command("explain")(inspect.explain)
app.command("report")(inspect.report)
app.command("export")(export.export)
app.command("finetune")(finetune.finetune)
app.command("gc")(housekeeping.gc)
app.command("verify")(housekeeping.verify)
app.command("cancel")(housekeeping.cancel)
app.add_typer(ledger.app, name="ledger")
app.add_typer(demo.app, name="demo")


def main() -> None:
    """Entry point of the `presel` command."""
    stopping.listen()
    try:
        app()
    except PreselError as error:
        sys.exit(explain_failure(error, as_json="--json" in sys.argv))
    except KeyboardInterrupt:
        sys.exit(stopping.INTERRUPTED)
