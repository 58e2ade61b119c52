"""A picture that is shown again costs neither its file nor the vision tower.

The tower is frozen, in fitting as in scoring, so what it makes of a picture is always the same. Where `remember` allows,
that is kept in memory in place of the pixels, for the whole process and every adapter. It works for models that are built
as LLaVA is (a `vision_tower` of which one layer is taken); for any other `remember` changes nothing.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import digest
from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.prepare import Prepared, Preparer, Shown, Unusable
from presel.reference_model.reading import Read, Sample, SampleReader

if TYPE_CHECKING:
    import torch

_GIB = 2**30
_PIXELS = "pixel_values"


def reader(model: ReferenceModel, source: SourceConfig, images: ImageConfig, config: ReferenceModelConfig) -> Read:
    """Reads and prepares samples for that model; safe to call from several threads."""
    preparer = Preparer(model.processor, config.max_length, config.turns)
    read = SampleReader(source, images, preparer)
    tower = _tower(model) if config.remember else None
    if tower is None:
        return read
    return _Remembering(model, tower, read, preparer, memory_of(tower), config.remember * _GIB)


class Memory:
    """Pictures by content, as one tower sees them. What comes when it is full is not kept."""

    def __init__(self) -> None:
        self.shown: dict[str, Shown] = {}
        self.bytes = 0

    def put(self, content: str, shown: Shown, limit: float) -> None:
        size = sum(value.numel() * value.element_size() for value in shown.image.values())
        if content not in self.shown and self.bytes + size <= limit:
            self.shown[content] = shown
            self.bytes += size


def memory_of(tower: Any) -> Memory:
    """The memory of every tower with these weights in this process."""
    weights = b"".join(
        name.encode() + value.detach().float().cpu().numpy().tobytes()
        for name, value in sorted(tower.state_dict().items())
    )
    return _memory(digest(weights))


@lru_cache(maxsize=1)
def _memory(_weights: str) -> Memory:
    return Memory()


class _Remembering:
    def __init__(
        self,
        model: ReferenceModel,
        tower: Any,
        read: SampleReader,
        preparer: Preparer,
        memory: Memory,
        limit: float,
    ) -> None:
        self._model, self._tower, self._read, self._preparer = model, tower, read, preparer
        self._memory, self._limit = memory, limit
        self._turn = threading.Lock()
        _take_features(tower)

    def __call__(self, sample: Sample) -> Prepared | Unusable:
        shown = self._memory.shown.get(sample.content)
        if shown is not None:
            return self._preparer.again(sample.id, shown, sample.turns)
        found = self._read(sample)
        if isinstance(found, Unusable) or set(found.image) != {_PIXELS} or found.other_image is not None:
            return found
        shown = Shown({_PIXELS: self._features(found.image[_PIXELS])}, self._preparer.expansion(found, sample.turns))
        self._memory.put(sample.content, shown, self._limit)
        return self._preparer.again(sample.id, shown, sample.turns)

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The layer that the model takes: (pictures, 1 + patches, width), on the CPU."""
        import torch

        layer = self._model.model.config.vision_feature_layer
        with self._turn, torch.inference_mode():
            out = self._tower(pixels.to(self._model.device, self._model.dtype), output_hidden_states=True)
        found: torch.Tensor = out.hidden_states[layer].cpu().clone()
        return found


def _tower(model: ReferenceModel) -> Any | None:
    """The vision tower of a LLaVA-like model, None of any other."""
    inner = getattr(model.model, "model", model.model)
    tower = next((m for name, m in inner.named_modules() if name.rpartition(".")[2] == "vision_tower"), None)
    return tower if isinstance(getattr(model.model.config, "vision_feature_layer", None), int) else None


class _Every(tuple[Any, ...]):
    """Hidden states of which all are the one."""

    def __getitem__(self, _layer: Any) -> Any:
        return super().__getitem__(0)


def _take_features(tower: Any) -> None:
    """From now on the tower gives back features that it is given in place of pixels, in place."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    if getattr(tower, "takes_features", False):
        return
    see = tower.forward

    def forward(pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if pixel_values.ndim == 3:
            return BaseModelOutputWithPooling(last_hidden_state=pixel_values, hidden_states=_Every((pixel_values,)))
        return see(pixel_values, *args, **kwargs)

    tower.forward, tower.takes_features = forward, True
