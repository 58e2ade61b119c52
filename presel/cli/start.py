"""`presel init`: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from presel.cli.console import screen, show
from presel.cli.options import DEFAULT_CONFIG, AsJson
from presel.config.template import render
from presel.errors import ConfigError


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    source: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder of images.")] = None,
    store: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder for what presel makes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented configuration: every field, its default, its meaning."""
    if path.exists() and not force:
        raise ConfigError("the file exists already", where=str(path), fix="choose another name or pass --force")
    filled = {name: value for name, value in {"source__uri": source, "store": store}.items() if value}
    path.write_text(render(**filled))

    def words() -> None:
        screen.print(
            f"Wrote {path}. Edit the lines without a leading #, then run `presel doctor -c {path}`.",
            markup=False,
            soft_wrap=True,
        )

    show({"path": str(path)}, as_json, words)
