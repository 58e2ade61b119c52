"""The folder of pictures that several trainers share: flat, `<sample id>.<what it is>`; what lies there is not
copied again.
"""

from __future__ import annotations

from presel.concurrency import progress
from presel.export.job import Job
from presel.export.reading import Finished, Reader, Started, read_ahead
from presel.export.record import Record


def copy_pictures(job: Job) -> None:
    """Copy every picture of the version that is not there yet, and note the extension of each in `job.extensions`.

    An object is whole or absent, and its folder is named by how pictures are written: so what is there is right.
    """
    there = _there(job)
    total = sum(_lacks(record, there) for record in job.records())
    reader = Reader(job.source, job.how, lambda _: None)

    def work(started: Started) -> Finished:
        record, pictures = reader(started)
        for picture in pictures:
            job.place.write(f"{job.images}/{picture.file}", picture.data)
        return record, pictures

    missing = ((record, (None,) * len(record.wanted)) for record in job.records() if _lacks(record, there))
    copied = read_ahead(work, missing)
    done, size = 0, 0
    for _, pictures in copied:
        done, size = done + 1, size + sum(len(picture.data) for picture in pictures)
        there.update((picture.name, picture.extension) for picture in pictures)
        progress.report("export", f"{job.name} pictures", done, total, "records", f"{size / 1e6:,.0f} MB copied")
    job.extensions.update(there)


def _there(job: Job) -> dict[str, str]:
    folder = f"{job.images}/"
    files = (entry.path.removeprefix(folder).rpartition(".") for entry in job.place.entries(folder))
    return {stem: extension for stem, _, extension in files if extension in ("jpg", "png")}


def _lacks(record: Record, there: dict[str, str]) -> bool:
    return any(wanted.name not in there for wanted in record.wanted)
