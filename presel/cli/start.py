"""`presel init`: a commented configuration to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from presel.cli.console import screen, show
from presel.cli.options import DEFAULT_CONFIG, AsJson
from presel.config import installed
from presel.config.template import render
from presel.errors import ConfigError


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    source: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder of images.")] = None,
    store: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder for what presel makes.")] = None,
    deployments: Annotated[bool, typer.Option("--deployments", help="Write prefect.yaml beside it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented configuration: every field, its default, its meaning."""
    filled = {name: value for name, value in {"source__uri": source, "store": store}.items() if value}
    files = {path: render(**filled)}
    if deployments:
        files[path.with_name("prefect.yaml")] = _deployments(source, store)
    for file in files:
        if file.exists() and not force:
            raise ConfigError("the file exists already", where=str(file), fix="choose another name or pass --force")
    for file, text in files.items():
        file.write_text(text)

    def words() -> None:
        wrote = " and ".join(map(str, files))
        said = f"Wrote {wrote}. Edit the lines without a leading #, then run `presel doctor -c {path}`."
        screen.print(said, markup=False, soft_wrap=True)

    show({"path": str(path), "files": [str(file) for file in files]}, as_json, words)


def _deployments(source: str | None, store: str | None) -> str:
    """The deployments that come with presel, of that source and store."""
    text = (installed.HOME / "deployments/prefect.yaml").read_text()
    for example, value in (("s3://my-bucket/images", source), ("s3://my-bucket/presel", store)):
        text = text.replace(f": {example}\n", f": {json.dumps(value)}\n") if value else text
    return text
