"""LLaVA JSON: LLaVA, LLaVA-NeXT, lmms-finetune."""

from __future__ import annotations

from presel.export.job import Job
from presel.export.shapes import llava

FILES = True


def write(job: Job) -> None:
    """`train.json` and `validation.json`, arrays with a record a line; `image` is below the place."""
    for side in job.sides():
        job.write_array(f"{side}.json", (llava(record, job.files_of(record)) for record in job.records(side)))
    job.write("next.yaml", f"datasets:\n  - json_path: {job.here}/train.json\n    sampling_strategy: all\n")
    job.write("TRAIN.md", _train(job))


def _train(job: Job) -> str:
    evaluated = f" \\\n    --eval_data_path {job.here}/validation.json" if "validation" in job.sides() else ""
    return f"""# Train on {job.name} with LLaVA, LLaVA-NeXT or lmms-finetune

LLaVA (`scripts/v1_5/finetune_lora.sh`), and LLaVA-NeXT, which also takes `--data_path {job.here}/next.yaml`:

```
deepspeed llava/train/train_mem.py --deepspeed ./scripts/zero3.json \\
    --data_path {job.here}/train.json --image_folder {job.home} \\
    --model_name_or_path liuhaotian/llava-v1.5-7b --version v1 \\
    --vision_tower openai/clip-vit-large-patch14-336 --mm_projector_type mlp2x_gelu --mm_vision_select_layer -2 \\
    --image_aspect_ratio pad --bf16 True --output_dir ./checkpoints/{job.name}
```

lmms-finetune:

```
torchrun train.py --model_id llava-1.5-7b \\
    --data_path {job.here}/train.json --image_folder {job.home}{evaluated} \\
    --output_dir ./checkpoints/{job.name}
```

LLaVA and LLaVA-NeXT take no validation file; `validation.json` is for your own evaluation.
"""
