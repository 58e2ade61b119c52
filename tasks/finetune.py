"""The tasks of the fine-tuning flow: training is a stage like the others; finding the version, showing and keeping are not."""

from __future__ import annotations

from presel.dataset import versions
from presel.export.exported import exported
from presel.stages import finetune as tuning
from tasks.cpu import CPU
from tasks.gpu import GPU
from tasks.show import SHOW
from tasks.show_tuned import _show_tuned

dataset_version = CPU.plain_task(versions.published, "dataset version")
exported_version = CPU.plain_task(exported, "exported version")
fine_tune = GPU.stage_task(tuning.fine_tune, "fine-tune on {dataset.name} {dataset.version}")
fine_tune_export = GPU.stage_task(tuning.fine_tune_export, "fine-tune on an export of {export.name} {export.version}")
keep_model = CPU.plain_task(tuning.keep_model, "keep model")
show_tuned = SHOW.plain_task(_show_tuned, "show tuned model")
