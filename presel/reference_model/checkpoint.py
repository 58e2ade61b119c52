"""Where a fit has come to, as one safetensors object: weights, optimiser moments, and what has been noted so far.

Fitting a 7B model takes an hour, and the machine it runs on may be taken away. What a step does depends on its number, the seed
and this state alone (no generator runs along), so a fit that was killed and resumed ends in the same bytes as one that was
not. The object lies beside the fit's output, under its key, and is removed when the output is whole.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from presel.errors import NotFound
from presel.images.reasons import Reason
from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.lora import trained
from presel.storage import open_store

_MOMENTS = ("exp_avg", "exp_avg_sq", "step", "momentum_buffer")


class State(NamedTuple):
    """What the next step needs beside weights and moments."""

    step: int
    history: list[dict[str, Any]]
    """Rows of the loss curve."""
    unusable: dict[str, tuple[Reason, str]]
    """Sample id -> (reason, detail)."""


class Checkpoint:
    """The one checkpoint of one fit."""

    def __init__(self, store: str, path: str) -> None:
        self._store, self._path = open_store(store), path

    def save(self, model: ReferenceModel, optimizer: Any, state: State) -> None:
        from safetensors.torch import save

        tensors = {}
        for name, parameter in trained(model).items():
            tensors[f"weight {name}"] = parameter.detach().cpu().contiguous()
            for moment in _MOMENTS:
                if moment in optimizer.state[parameter]:
                    tensors[f"{moment} {name}"] = optimizer.state[parameter][moment].cpu().contiguous()
        self._store.write(self._path, save(tensors, metadata={"state": json.dumps(state._asdict())}))

    def restore(self, model: ReferenceModel, optimizer: Any) -> State | None:
        """Puts the saved state into model and optimiser; None when there is none, and nothing is changed."""
        import torch
        from safetensors.torch import load

        try:
            data = self._store.read(self._path)
        except NotFound:
            return None
        tensors = load(data)
        with torch.no_grad():
            for name, parameter in trained(model).items():
                parameter.copy_(tensors[f"weight {name}"])
                moments = {m: tensors[f"{m} {name}"] for m in _MOMENTS if f"{m} {name}" in tensors}
                optimizer.state[parameter] = {
                    m: value if m == "step" else value.to(parameter.device) for m, value in moments.items()
                }
        saved = json.loads(_metadata(data)["state"])
        unusable = {sample: (Reason(reason), detail) for sample, (reason, detail) in saved["unusable"].items()}
        return State(saved["step"], saved["history"], unusable)

    def clear(self) -> None:
        self._store.delete(self._path)


def _metadata(data: bytes) -> dict[str, str]:
    """A safetensors header: eight bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
