"""`presel ledger`: the paid answers, read by a person. Nothing here can change or spend anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from presel.cli.console import screen, show, table
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.config_file import load
from presel.instruct import ledger, money
from presel.instruct.ledger import Ledger
from presel.storage import open_store

app = typer.Typer(help="The paid answers: list, show, count, export.", no_args_is_help=True)


@app.command("ls")
def ls(
    prefix: Annotated[str, typer.Argument(help="The beginning of a key.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: AsJson = False,
) -> None:
    """The keys of all paid answers."""
    keys = ledger.ls(_opened(config, overrides), prefix)
    show(keys, as_json, lambda: screen.print("\n".join(keys), markup=False))


@app.command("show")
def show_answer(
    key: Annotated[str, typer.Argument(help="A key, or an unambiguous beginning of one.")],
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """One answer whole, as JSON: what was asked, what was said, what it cost."""
    answer = ledger.show(_opened(config, overrides), key)
    screen.print_json(data=answer.__dict__)


@app.command("stats")
def stats(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Answers, tokens and dollars per model; what is spent and reserved on this store."""
    opened = _opened(config, overrides)
    rows, spent = ledger.stats(opened), money.spending(opened.store)

    def words() -> None:
        columns = {"model": "model", "answers": "answers", "input_tokens": "tokens in", "output_tokens": "tokens out"}
        table(rows, {**columns, "cost_usd": "$"})
        screen.print(f"spent ${spent['spent_usd']:.4f}, reserved ${spent['reserved_usd']:.4f}")

    show({"models": rows, **spent}, as_json, words)


@app.command("export")
def export(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = []) -> None:  # noqa: B006
    """Every answer as one JSON line on standard output."""
    for line in ledger.export(_opened(config, overrides)):
        sys.stdout.write(line + "\n")


def _opened(config: Path, overrides: list[str]) -> Ledger:
    return Ledger(open_store(load(config, overrides).store))
