"""`presel examples`: configurations to start from, as they lie in deployments/examples, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from presel.cli.console import screen, show
from presel.cli.facts import command
from presel.cli.options import DEFAULT_CONFIG, AsJson
from presel.config import installed
from presel.errors import ConfigError

_FOLDER = installed.HOME / "deployments/examples"


def examples(
    name: Annotated[str | None, typer.Argument(help="Write this one.")] = None,
    to: Annotated[Path, typer.Option(help="Where to.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Configurations to start from: list them, or write one of them."""
    found = {file.stem: file.read_text(encoding="utf-8") for file in sorted(_FOLDER.glob("*.yaml"))}
    if name is None:
        told = [{"name": each, "about": about(text)} for each, text in found.items()]
        show(told, as_json, lambda: _list(told))
        return
    if name not in found:
        raise ConfigError("no such example", where="presel examples", expected=", ".join(found), got=name)
    if to.exists() and not force:
        raise ConfigError("the file exists already", where=str(to), fix="choose another with --to, or pass --force")
    to.write_text(found[name], encoding="utf-8")
    said = f"Wrote {to}. Put your own source and store into it, then run `{command('doctor', to)}`."
    show({"path": str(to)}, as_json, lambda: screen.print(said, markup=False, soft_wrap=True))


def about(text: str) -> str:
    """The first sentence of the comment that a configuration begins with."""
    comment = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return f"{' '.join(comment).split('. ')[0].rstrip('.')}."


def _list(told: list[dict[str, str]]) -> None:
    for each in told:
        screen.print(f"{each['name']}\n  {each['about']}", markup=False, soft_wrap=True)
    screen.print("\nWrite one with `presel examples NAME`; it lands in presel.yaml.", markup=False)
