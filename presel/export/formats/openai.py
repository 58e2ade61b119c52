"""OpenAI's fine-tuning JSONL, which Fireworks, Together and Azure document, too: pictures as data URLs."""

from __future__ import annotations

import base64
import io
from typing import Any, BinaryIO

from presel.export.job import Job, Side, line
from presel.export.record import Copied, Record
from presel.images.pillow import Image

FILES = False
MOST_EXAMPLES, MOST_BYTES, MOST_OF_PICTURE = 50_000, 450_000_000, 10_000_000
"""Of a file, and of a picture as it is sent (base64 takes four bytes for three)."""


def write(job: Job) -> None:
    """`train-<digest>-00001.jsonl` and so on: at most 50,000 examples and 450 MB each."""
    files = {side: _files(job, side) for side in job.sides()}
    job.write("TRAIN.md", _train(job, files))


def _files(job: Job, side: Side) -> list[str]:
    def name(number: int) -> str:
        return f"{side}-{job.place.generation}-{number + 1:05d}.jsonl"

    most = (MOST_BYTES, MOST_EXAMPLES)
    return job.write_shards(side, name, Lines, most=most, weight=4 / 3)


class Lines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, record: Record, pictures: tuple[Copied, ...]) -> None:
        self._file.write(f"{line(example(record, pictures))}\n".encode())

    def close(self) -> None:
        pass


def example(record: Record, pictures: tuple[Copied, ...]) -> dict[str, Any]:
    """A record as chat messages, the pictures in the first question."""
    said: list[dict[str, Any]] = []
    for ordinal, (question, answer) in enumerate(record.turns):
        shown = [{"type": "image_url", "image_url": {"url": _url(each)}} for each in pictures] if ordinal == 0 else []
        said.append({"role": "user", "content": [{"type": "text", "text": question}, *shown]})
        said.append({"role": "assistant", "content": answer})
    return {"messages": said}


def _url(picture: Copied) -> str:
    picture = _admitted(picture)
    kind = "jpeg" if picture.extension == "jpg" else picture.extension
    return f"data:image/{kind};base64,{base64.b64encode(picture.data).decode()}"


def _admitted(picture: Copied) -> Copied:
    """The picture, or what is left of it when it must fit in 10 MB as base64: a JPEG, then a smaller one."""
    if len(picture.data) * 4 / 3 <= MOST_OF_PICTURE:
        return picture
    with Image.open(io.BytesIO(picture.data)) as opened:
        image = opened.convert("RGB")
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=95)
    while len(sink.getvalue()) * 4 / 3 > MOST_OF_PICTURE:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=95)
    return Copied(picture.name, "jpg", sink.getvalue())


def _train(job: Job, files: dict[Side, list[str]]) -> str:
    train, validation = files["train"], files.get("validation", [])
    uploads = "\n".join(f"openai api files.create -f {job.home}/{name} -p fine-tune" for name in (*train, *validation))
    held = " --validation-file FILE_ID" if validation else ""
    return f"""# Train on {job.name} with OpenAI's fine-tuning, or who takes its files

```
{uploads}
openai api fine_tuning.jobs.create --model gpt-4.1-2025-04-14 --training-file FILE_ID{held}
```

A job takes one training file: of several, one job for each, from the model that the one before made. A file holds at most
50,000 examples with a picture; the provider wants at least 10. A picture above 10 MB is sent as a JPEG. By its
guide the platform is closed to new users; Fireworks, Together and Azure take the same lines.
"""
