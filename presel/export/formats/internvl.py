"""InternVL: LLaVA's records as JSONL, and a meta file that names them."""

from __future__ import annotations

from presel.export.job import Job
from presel.export.shapes import llava

FILES = True


def write(job: Job) -> None:
    """`train.jsonl`, `validation.jsonl`, and a meta file of each."""
    for side in job.sides():
        job.write_lines(f"{side}.jsonl", (llava(record, job.files_of(record)) for record in job.records(side)))
        entry = {
            "root": f"{job.home}/",
            "annotation": f"{job.here}/{side}.jsonl",
            "data_augment": False,
            "repeat_time": 1,
            "length": job.counts[side],
        }
        job.write_json(f"meta_{side}.json", {f"{job.name}_{side}": entry})
    job.write("TRAIN.md", _train(job))


def _train(job: Job) -> str:
    return f"""# Train on {job.name} with InternVL

```
torchrun --nproc_per_node=8 internvl/train/internvl_chat_finetune.py \\
    --model_name_or_path OpenGVLab/InternVL2_5-8B --conv_style internvl2_5 \\
    --meta_path {job.here}/meta_train.json --force_image_size 448 --dynamic_image_size True --use_thumbnail True \\
    --use_backbone_lora 0 --use_llm_lora 16 --bf16 True --deepspeed zero_stage1_config.json \\
    --output_dir work_dirs/{job.name}
```

`meta_train.json` holds the place of the pictures: should it move, mend `root` and `annotation` there.
"""
