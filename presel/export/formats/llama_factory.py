"""LLaMA-Factory: ShareGPT records and the `dataset_info.json` that names them."""

from __future__ import annotations

from typing import Any

from presel.export.job import Job
from presel.export.shapes import conversations

FILES = True


def write(job: Job) -> None:
    """`<name>_train.jsonl`, `<name>_validation.jsonl`, and both in `dataset_info.json`."""
    for side in job.sides():
        rows = (
            {"id": record.id, "conversations": conversations(record), "images": job.files_of(record)}
            for record in job.records(side)
        )
        job.write_lines(f"{side}.jsonl", rows)
    job.write_json("dataset_info.json", {_named(job, side): _info(side) for side in job.sides()})
    job.write("TRAIN.md", _train(job))


def _named(job: Job, side: str) -> str:
    return f"{job.name}_{side}"


def _info(side: str) -> dict[str, Any]:
    columns = {"messages": "conversations", "images": "images"}
    return {"file_name": f"{side}.jsonl", "formatting": "sharegpt", "columns": columns}


def _train(job: Job) -> str:
    validation = "validation" in job.sides()
    evaluated = f"eval_dataset: {_named(job, 'validation')}\neval_strategy: epoch\n" if validation else ""
    return f"""# Train on {job.name} with LLaMA-Factory

Save this as `{job.name}.yaml`, then `llamafactory-cli train {job.name}.yaml`:

```yaml
model_name_or_path: Qwen/Qwen2.5-VL-7B-Instruct
template: qwen2_vl
stage: sft
do_train: true
finetuning_type: lora
dataset_dir: {job.here}
media_dir: {job.home}
dataset: {_named(job, "train")}
{evaluated}cutoff_len: 4096
output_dir: saves/{job.name}
num_train_epochs: 1
per_device_train_batch_size: 2
learning_rate: 1.0e-4
bf16: true
```

For LLaVA 1.5: `model_name_or_path: llava-hf/llava-1.5-7b-hf` and `template: llava`.
"""
