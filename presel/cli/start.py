"""`presel init`: a configuration to start from, asked for in a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from presel.cli import asking, stopping
from presel.cli.console import screen, show, visible
from presel.cli.facts import command
from presel.cli.options import DEFAULT_CONFIG, AsJson
from presel.config import installed
from presel.config.address import absolute
from presel.config.template import render, short
from presel.errors import ConfigError, PreselError


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    source: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder of images.")] = None,
    store: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a folder for what presel makes.")] = None,
    deployments: Annotated[bool, typer.Option("--deployments", help="Write prefect.yaml beside it.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every setting with its meaning, not the few that matter.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a configuration. In a terminal it asks; with --source, --store, --full or --json it does not."""
    for file in (path, path.with_name("prefect.yaml")) if deployments else (path,):
        if file.exists() and not force:
            raise ConfigError("the file exists already", where=str(file), fix="choose another name or pass --force")
    asked = {} if source or store or full or as_json or not asking.is_terminal() else _asked()
    source, store = asked.get("source__uri", source), asked.get("store", store)
    # What was typed is meant from here, what stands in a file from its folder.
    beside = path.absolute().parent == Path.cwd()
    given = {"source__uri": source, "store": store}
    filled = {name: value if beside else absolute(value, Path.cwd()) for name, value in given.items() if value}
    files = {path: (render if full else short)(**{**asked, **filled})}
    if deployments:
        files[path.with_name("prefect.yaml")] = _deployments(source, store)
    for file, text in files.items():
        file.write_text(text)
    told = _preview(source) if source and not asked else []

    def words() -> None:
        for line in told:
            screen.print(visible(line), markup=False, soft_wrap=True)
        wrote = " and ".join(map(str, files))
        edit = "" if asked else " Look through it, then"
        screen.print(f"Wrote {wrote}.{edit or ' Now'} run `{command('doctor', path)}`.", markup=False, soft_wrap=True)

    show({"path": str(path), "files": [str(file) for file in files], "source": told}, as_json, words)


def _asked() -> dict[str, Any]:
    """The answers; whoever gives up leaves nothing behind."""
    try:
        return asking.ask()
    except (typer.Abort, KeyboardInterrupt):
        screen.print("\nNothing was written.")
        raise typer.Exit(stopping.INTERRUPTED) from None


def _deployments(source: str | None, store: str | None) -> str:
    """The deployments that come with presel, of that source and store."""
    text = (installed.HOME / "deployments/prefect.yaml").read_text()
    for example, value in (("s3://my-bucket/images", source), ("s3://my-bucket/presel", store)):
        text = text.replace(f": {example}\n", f": {json.dumps(absolute(value, Path.cwd()))}\n") if value else text
    return text


def _preview(source: str) -> list[str]:
    """What the default rule for tasks makes of a source, if it can be listed already."""
    from presel.config import SourceConfig
    from presel.sources import open_source
    from presel.sources.preview import preview

    try:
        found = preview(open_source(SourceConfig(uri=source)))
    except PreselError as error:
        return [f"The source cannot be listed yet: {error}"]
    advice = [found.advice[0].upper() + found.advice[1:]] if found.advice else []
    return [f"By its first folders: {found.words}", *(f"  {line}" for line in found.lines()), *advice]
