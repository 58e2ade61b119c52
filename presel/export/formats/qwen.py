"""Qwen's own fine-tuning script (`qwen-vl-finetune`): LLaVA JSON and an entry in its table of data sets."""

from __future__ import annotations

from presel.export.job import Job
from presel.export.shapes import llava

FILES = True


def write(job: Job) -> None:
    """`train.json`, `validation.json`, and `data_dict.py`: the entry to paste."""
    for side in job.sides():
        job.write_array(f"{side}.json", (llava(record, job.files_of(record)) for record in job.records(side)))
    job.write("data_dict.py", "".join(_entry(job, side) for side in job.sides()))
    job.write("TRAIN.md", _train(job))


def _entry(job: Job, side: str) -> str:
    annotations = f"{job.here}/{side}.json"
    return f'data_dict["{_named(job, side)}"] = {{"annotation_path": "{annotations}", "data_path": "{job.home}"}}\n'


def _named(job: Job, side: str) -> str:
    return f"{job.name}_{side}".replace("-", "_")


def _train(job: Job) -> str:
    entries = "".join(_entry(job, side) for side in job.sides())
    return f"""# Train on {job.name} with Qwen's qwen-vl-finetune

Paste this at the end of the table in `qwenvl/data/__init__.py` (it is in `data_dict.py`, too):

```python
{entries}```

Then:

```
torchrun --nproc_per_node=8 qwenvl/train/train_qwen.py --dataset_use {_named(job, "train")} \\
    --model_name_or_path Qwen/Qwen2.5-VL-7B-Instruct --tune_mm_llm True --tune_mm_vision False --tune_mm_mlp True \\
    --bf16 --output_dir ./checkpoints/{job.name}
```

`{_named(job, "train")}%50` takes half of it. The script replaces a picture that it cannot read by another record, in silence:
every picture here was checked against its digest when it was copied.
"""
