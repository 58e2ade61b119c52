"""The reference model: an LVLM fitted on the reference set that tells how much a question helps to predict its response.

model = load(config, adapter)                    any image-text-to-text checkpoint, or the demo's tiny one
prepare = Preparer(model.processor, max_length)  (image, turns) -> tokens and tensors
for losses in score(model, prepared, batch_size=8): losses.with_question / losses.without_question
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from presel.config import ReferenceModelConfig
from presel.reference_model import lora
from presel.reference_model.backbone import ReferenceModel, load_backbone
from presel.reference_model.plain import plain_losses
from presel.reference_model.prepare import Prepared, Preparer, Unusable
from presel.reference_model.score import Losses, score
from presel.tables.turn import Turn

if TYPE_CHECKING:
    import torch

__all__ = [
    "Losses", "Prepared", "Preparer", "ReferenceModel", "Turn", "Unusable", "load", "plain_losses", "score",
]  # fmt: skip


def load(
    config: ReferenceModelConfig,
    adapter: Path | Mapping[str, bytes] | None = None,
    dtype: torch.dtype | None = None,
) -> ReferenceModel:
    """The configured model, ready to score, with an adapter on it if one is given (a folder, or its two files by name).

    `dtype` of the weights: float32 or bfloat16; by default bfloat16 on a GPU and float32 on a CPU.

    Raises ModelError when model or adapter cannot be found, fetched or read, saying what to do.
    """
    model = load_backbone(config, dtype)
    if adapter is not None:
        lora.apply(model, lora.read_files(adapter) if isinstance(adapter, Path) else adapter)
    return model
