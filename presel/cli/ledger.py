"""`presel ledger`: the paid answers, read by a person. Nothing here can change or spend anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from presel.cli.console import screen, show, table
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.config.file import load
from presel.instruct import ledger
from presel.instruct.ledger import Ledger
from presel.instruct.money import purse
from presel.instruct.words import written
from presel.storage import open_store

app = typer.Typer(help="The paid answers: list, show, count, export.", no_args_is_help=True)


@app.command("ls")
def ls(
    prefix: Annotated[str, typer.Argument(help="The beginning of a key.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    long: Annotated[
        bool, typer.Option("--long", "-l", help="Read each answer: when, tokens, dollars, its words.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The keys of all paid answers."""
    opened = _opened(config, overrides)
    keys = ledger.ls(opened, prefix)
    if not long:
        show(keys, as_json, lambda: screen.print("\n".join(keys), markup=False))
        return
    rows = [ledger.line(answer) for key in keys if (answer := opened.find(key))]
    headings = {"key": "key", "answered": "answered", "model": "model", "input_tokens": "in", "output_tokens": "out"}
    show(rows, as_json, lambda: table([_priced(row) for row in rows], {**headings, "cost_usd": "$", "words": "words"}))


@app.command("show")
def show_answer(
    key: Annotated[str, typer.Argument(help="A key, or an unambiguous beginning of one.")],
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """One answer whole, as JSON: what was asked, what was said, what it cost."""
    answer = ledger.show(_opened(config, overrides), key)
    text = written(vars(answer))
    screen.print_json(text, ensure_ascii=text.isascii())  # plain letters where the terminal can have them


@app.command("stats")
def stats(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Answers, tokens and dollars per model; what is spent and reserved on this store."""
    opened = _opened(config, overrides)
    rows, spent = ledger.stats(opened), purse.spending(opened.store)

    def words() -> None:
        columns = {"model": "model", "base_url": "endpoint", "answers": "answers"}
        tokens = {"input_tokens": "tokens in", "output_tokens": "tokens out", "cost_usd": "$"}
        table([_priced(row) for row in rows], {**columns, **tokens})
        screen.print(f"spent ${spent['spent_usd']:.4f}, reserved ${spent['reserved_usd']:.4f}")

    show({"models": rows, **spent}, as_json, words)


@app.command("export")
def export(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = []) -> None:  # noqa: B006
    """Every answer as one JSON line on standard output."""
    for line in ledger.export(_opened(config, overrides)):
        sys.stdout.write(line + "\n")


@app.command("agreement")
def agreement(config: ConfigPath = DEFAULT_CONFIG, overrides: Overrides = [], as_json: AsJson = False) -> None:  # noqa: B006
    """How alike two people write about a picture, and people and the API, by task."""
    from presel.instruct.people.agreement import agreement as measured

    rows = measured(_opened(config, overrides))
    columns = {"task": "task", "pair": "pair", "pictures": "pictures", "same": "same", "overlap": "overlap"}
    show(rows, as_json, lambda: table(rows, columns))


def _priced(row: dict[str, Any]) -> dict[str, Any]:
    """With a price that shows: answers cost hundredths of a cent."""
    return {**row, "cost_usd": f"{row['cost_usd']:.6f}"}


def _opened(config: Path, overrides: list[str]) -> Ledger:
    return Ledger(open_store(load(config, overrides).store))
