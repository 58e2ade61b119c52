"""Exporting a version: what is held out, the pictures, and each trainer's own files, whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from presel.concurrency import progress
from presel.config import DatasetConfig, ExportConfig, RefreshConfig, SourceConfig
from presel.config.keys import digest
from presel.dataset import versions
from presel.errors import ConfigError, __version__
from presel.export.copying import copy_pictures
from presel.export.formats import FORMATS
from presel.export.job import Job
from presel.export.likeness import Split, split_of
from presel.export.pictures import Writing
from presel.export.place import Place
from presel.tables import DatasetRef

log = logging.getLogger(__name__)


def export_version(dataset: DatasetRef, config: RefreshConfig) -> str | None:
    """Write a version as `config.export` says (`export_dataset`); returns where it lies, None if it is to go nowhere."""
    if config.export.to is None:
        return None
    return export_dataset(dataset, config.store, config.source, config.export, config.dataset, config.twins_from)


def export_dataset(
    dataset: DatasetRef,
    store: str,
    source: SourceConfig,
    export: ExportConfig,
    about: DatasetConfig,
    twins_from: float | None = None,
) -> str:
    """Write a version as `export` says, pictures included; returns where it lies. What is there already is found again.

    `twins_from`: cosine from which images are held out together. Raises IntegrityError when a picture is gone or is another
    one by now, ConfigError when `export.to` names no place.
    """
    if export.to is None:
        raise ConfigError(
            "no place to export to is named", where="export.to", fix="name a folder or s3://bucket/prefix"
        )
    split = split_of(dataset, store, twins_from or export.near_duplicate, export.validation)
    place = Place(export.to, _promise(dataset, export, about, split))
    if place.complete:
        _say(dataset, f"{place.store.uri} is complete")
        return place.store.uri
    place.begin()
    with versions.opened(dataset, "data.parquet") as data:
        how = Writing(export.longest, export.jpeg)
        job = Job(dataset, about, source, place, how, split, data, "", _home(place), export.min_visual_dependency)
        _check_ratings(job)
        _write(job, export)
        counts = job.counts
    place.finish({"records": counts, "held_out": len(split.held), "presel": __version__})
    _say(dataset, f"exported to {place.store.uri}")
    return place.store.uri


def _check_ratings(job: Job) -> None:
    """Raises ConfigError where a rating is asked for and none is there, or none is high enough."""
    if job.least is None or (job.rated and next(job.records(), None) is not None):
        return
    raise ConfigError(
        f"no record is rated {job.least} or more for visual dependency"
        if job.rated
        else "nobody has rated this version",
        where="export.min_visual_dependency",
        fix="lower it" if job.rated else "set `generator.prompt.judge: rate`, and run again; or leave it out",
    )


def _write(job: Job, export: ExportConfig) -> None:
    formats = {name: FORMATS[name] for name in sorted(set(export.formats))}
    if any(trainer.FILES for trainer in formats.values()):
        copy_pictures(job)
    for name, trainer in formats.items():
        job.folder = f"{name}/" if len(formats) > 1 else ""
        trainer.write(job)


def _promise(dataset: DatasetRef, export: ExportConfig, about: DatasetConfig, split: Split) -> dict[str, Any]:
    """What decides every byte of an export."""
    return {
        "dataset": {"name": dataset.name, "version": dataset.version, "digest": dataset.digest},
        "formats": sorted(set(export.formats)),
        "pictures": Writing(export.longest, export.jpeg).spec,
        "held_out": digest("\n".join(sorted(split.held)).encode()),
        "about": about.model_dump(mode="json"),
        **({} if export.min_visual_dependency is None else {"min_visual_dependency": export.min_visual_dependency}),
    }


def _home(place: Place) -> str:
    """Where the export is for a trainer: of one on S3, where `aws s3 sync` brings it by the same name."""
    uri = place.store.uri
    return uri if "://" not in uri else Path(uri).name


def _say(dataset: DatasetRef, what: str) -> None:
    log.info("%s %d: %s", dataset.name, dataset.version, what)
    progress.report("export", dataset.name, dataset.records, dataset.records, "records", what)
