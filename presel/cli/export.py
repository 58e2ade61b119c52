"""`presel export`: a published version as a trainer reads it, pictures included."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import typer

from presel.cli.console import complaints, screen, show
from presel.cli.live import Live
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.concurrency.progress import listening
from presel.config import RefreshConfig, Trainer
from presel.config.file import load
from presel.dataset.versions import published
from presel.errors import ConfigError

_NAMES = get_args(Trainer)


def export(
    version: Annotated[int | None, typer.Argument(help="A version number; the latest if left out.")] = None,
    to: Annotated[str | None, typer.Option(help="A folder, or s3://bucket/prefix. Default: `export.to`.")] = None,
    trainers: Annotated[
        list[str] | None, typer.Option("--for", help=f"{', '.join(_NAMES)}, or all. May be repeated. Default: hf.")
    ] = None,
    validation: Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of the images held out.")] = None,
    min_visual_dependency: Annotated[
        int | None, typer.Option(min=1, max=5, help="Leave out what a judge rated lower (`judge: rate`).")
    ] = None,
    longest: Annotated[int | None, typer.Option(min=16, help="Shrink pictures to so many pixels.")] = None,
    jpeg: Annotated[int | None, typer.Option(min=1, max=100, help="Quality of what must be written anew.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload the folder to this data set of the hub.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: AsJson = False,
) -> None:
    """Copy a version in the form that a trainer reads, pictures included. Costs nothing; what is there stays."""
    from presel.export import export_version

    settings = asked_for(
        load(config, overrides),
        to=to,
        formats=trainers,
        validation=validation,
        longest=longest,
        jpeg=jpeg,
        min_visual_dependency=min_visual_dependency,
    )
    dataset = published(settings.store, settings.dataset.name, version)
    with Live(complaints) as live, listening(live):
        address = export_version(dataset, settings)
    result: dict[str, Any] = {"export": address, "version": dataset.version, "records": dataset.records}
    if push_to_hub:
        from presel.export.hub import push

        result["hub"] = push(str(address), push_to_hub)
    words = (
        f"Version {dataset.version} ({dataset.records:,} records) lies at {address}: TRAIN.md says how to train on it."
    )
    show(result, as_json, lambda: screen.print(words, soft_wrap=True, markup=False))


def asked_for(config: RefreshConfig, **asked: Any) -> RefreshConfig:
    """The configuration with what the command line asks for in its section `export`."""
    if asked.get("formats"):
        asked["formats"] = _known(asked["formats"])
    given = {name: value for name, value in asked.items() if value is not None}
    export = config.export.model_validate({**config.export.model_dump(), **given})
    if export.to is None:
        raise ConfigError("no place to export to is named", where="export.to", fix="name a folder or s3://… with --to")
    return config.model_copy(update={"export": export})


def _known(asked: list[str]) -> tuple[str, ...]:
    names = [name.strip() for each in asked for name in each.split(",")]
    if "all" in names:
        return _NAMES
    for name in names:
        if name not in _NAMES:
            raise ConfigError("no such trainer", where="--for", expected=", ".join((*_NAMES, "all")), got=name)
    return tuple(names)
