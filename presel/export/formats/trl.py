"""TRL's SFTTrainer: prompt and completion, so that answers alone are trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from presel.export.job import Job, Side
from presel.export.shapes import typed_messages

FILES = True


def write(job: Job) -> None:
    """`train.jsonl` and `validation.jsonl`: a row for each answer, since TRL trains a row's completion alone."""
    for side in job.sides():
        job.write_lines(f"{side}.jsonl", _rows(job, side))
    job.write("train.py", _script(job))
    job.write("TRAIN.md", _train(job))


def _rows(job: Job, side: Side) -> Iterator[dict[str, Any]]:
    for record in job.records(side):
        said, files = typed_messages(record), job.files_of(record)
        for answer in range(1, len(said), 2):
            yield {"prompt": said[:answer], "completion": said[answer : answer + 1], "images": files}


def _script(job: Job) -> str:
    validation = '"validation"' if "validation" in job.sides() else ""
    return f'''"""Tune a vision language model on {job.name} with TRL: `python train.py MODEL OUTPUT`."""

import sys
from pathlib import Path

import torch
from datasets import Image, List, load_dataset
from trl import SFTConfig, SFTTrainer

HERE, PLACE = Path(__file__).resolve().parent, Path(__file__).resolve().parent{"" if not job.folder else ".parent"}


def rows(side):
    data = load_dataset("json", data_files=str(HERE / f"{{side}}.jsonl"), split="train")
    data = data.map(lambda row: {{"images": [str(PLACE / name) for name in row["images"]]}})
    return data.cast_column("images", List(Image()))


def train(model, output, **options):
    sides = {{side: rows(side) for side in ["train", {validation}]}}
    evaluated = {{"eval_strategy": "epoch"}} if "validation" in sides else {{}}
    device = {{}} if torch.cuda.is_available() else {{"use_cpu": True, "bf16": False}}
    chosen = {{**evaluated, **device, **options}}
    arguments = SFTConfig(output_dir=output, max_length=None, report_to="none", **chosen)
    trainer = SFTTrainer(model, arguments, train_dataset=sides["train"], eval_dataset=sides.get("validation"))
    trainer.train()
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    train(*sys.argv[1:])
'''


def _train(job: Job) -> str:
    return f"""# Train on {job.name} with TRL

```
python {job.here}/train.py Qwen/Qwen2.5-VL-3B-Instruct checkpoints/{job.name}
```

`train.py` reads the rows here, casts `images` to pictures and starts SFTTrainer; change its SFTConfig, or take `rows` from it.
The loss is on the completion only. A record of several turns is a row for each of its answers. `max_length=None`, because
cutting a row may cut the tokens of its picture.
"""
