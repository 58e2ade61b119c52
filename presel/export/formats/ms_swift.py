"""ms-swift: messages JSONL, no registration."""

from __future__ import annotations

from presel.export.job import Job
from presel.export.shapes import messages

FILES = True


def write(job: Job) -> None:
    """`train.jsonl` and `validation.jsonl`; pictures by their path below `ROOT_IMAGE_DIR`."""
    for side in job.sides():
        rows = ({"messages": messages(record), "images": job.files_of(record)} for record in job.records(side))
        job.write_lines(f"{side}.jsonl", rows)
    job.write("TRAIN.md", _train(job))


def _train(job: Job) -> str:
    validation = f" \\\n    --val_dataset {job.here}/validation.jsonl" if "validation" in job.sides() else ""
    return f"""# Train on {job.name} with ms-swift

```
ROOT_IMAGE_DIR={job.home} swift sft \\
    --model Qwen/Qwen2.5-VL-7B-Instruct --tuner_type lora \\
    --dataset {job.here}/train.jsonl{validation} \\
    --torch_dtype bfloat16 --num_train_epochs 1 --output_dir output/{job.name}
```

Without `ROOT_IMAGE_DIR` the pictures are looked for below the working directory, so it also runs as it is from `{job.home}`.
"""
