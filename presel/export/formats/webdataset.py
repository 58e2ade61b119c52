"""WebDataset shards: a picture and its JSON side by side in a tar, to be streamed."""

from __future__ import annotations

import io
import tarfile
from typing import Any, BinaryIO

from presel.export.former import of_tar
from presel.export.job import Job, Side, line
from presel.export.pictures import Writing
from presel.export.record import Copied, Record
from presel.export.shapes import conversations

FILES = False
MOST = (480_000_000, 1 << 40)
"""Bytes and records of a shard."""


class _Mixed(Exception):
    """The pictures do not all come out alike."""


def write(job: Job) -> None:
    """`train-<digest>-000000.tar` and so on. All pictures have one extension, since it is the column's name: JPEG if every
    picture comes out as JPEG, else PNG."""
    if job.how.jpeg is None and not any("-png-" in name for name in job.place.shards):
        try:
            return _write(job, "jpg")
        except _Mixed:
            pass
    return _write(job, "jpg" if job.how.jpeg else "png")


def _write(job: Job, extension: str) -> None:
    how = job.how if job.how.jpeg else Writing(job.how.longest, None, "png" if extension == "png" else None)
    shards = {side: _shards(job, side, extension, how) for side in job.sides()}
    job.write("TRAIN.md", _train(job, shards, extension))


def _shards(job: Job, side: Side, extension: str, how: Writing) -> list[str]:
    def name(number: int) -> str:
        return f"{side}-{job.place.generation}-{extension}-{number:06d}.tar"

    def make(file: BinaryIO) -> TarShard:
        return TarShard(file, extension)

    return job.write_shards(side, name, make, most=MOST, how=how, former=of_tar(job.place, job.folder))


class TarShard:
    """Members of a sample stand together, and say nothing of when and by whom."""

    def __init__(self, file: BinaryIO, extension: str) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by `close`
        self._extension = extension

    def add(self, record: Record, pictures: tuple[Copied, ...]) -> None:
        for number, picture in enumerate(pictures):
            if picture.extension != self._extension:
                raise _Mixed
            self._put(f"{record.id}.{f'{number}.' if number else ''}{self._extension}", picture.data)
        self._put(f"{record.id}.json", line(_described(record)).encode())

    def close(self) -> None:
        self._tar.close()

    def _put(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o644
        self._tar.addfile(member, io.BytesIO(data))


def _described(record: Record) -> dict[str, Any]:
    return {"id": record.id, "task": record.task, "conversations": conversations(record), **record.ratings}


def _train(job: Job, shards: dict[Side, list[str]], extension: str) -> str:
    def pattern(side: Side) -> str:
        names = shards[side]
        if len(names) < 2:
            return f"{job.home}/{names[0]}" if names else ""
        stem = names[0][: -len("000000.tar")]
        return f"{job.home}/{stem}{{000000..{len(names) - 1:06d}}}.tar"

    held = f"Held out: `{pattern('validation')}`." if "validation" in shards else "Nothing is held out."
    return f"""# Train on {job.name} with WebDataset

```python
import webdataset as wds

rows = wds.WebDataset("{pattern("train")}", shardshuffle=False)
rows = rows.shuffle(1000).decode("pil").to_tuple("__key__", "{extension}", "json")
for key, picture, record in rows:
    ...  # record: {{"id", "task", "conversations": [{{"from": "human", "value": "<image>\\n..."}}, ...]}}
```

The same with `datasets`, as columns `{extension}` and `json`:

```python
from datasets import load_dataset

rows = load_dataset("webdataset", data_files={{"train": "{job.here}/train-*.tar"}}, split="train", streaming=True)
```

{held}
"""
