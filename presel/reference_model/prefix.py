"""The image prefix of a batch as keys and values, and nothing besides.

All that later tokens need of a prefix is in the cache as soon as the last layer has written its keys and values. What that
layer would still do (attention, feed-forward, norm, logits) nobody reads, so the pass ends there, by an exception from the
cache: the one thing that every decoder of transformers calls alike. It saves nearly half of the pass with two layers and a
thirty-second with LLaVA's.
"""

from __future__ import annotations

from typing import Any

from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.batches import aligned, images, padded
from presel.reference_model.prepare import Prepared


class _Complete(Exception):
    """The cache has what was asked for."""


def prefix(model: ReferenceModel, batch: list[Prepared]) -> Any:
    """A cache of the tokens that the samples' two sequences share; as many rows as samples."""
    cache, last = _cache(model)
    if last is None:
        return _pass(model, batch, cache)
    write = last.update

    def write_and_stop(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        raise _Complete

    last.update = write_and_stop
    try:
        _pass(model, batch, cache)
    except _Complete:
        pass
    finally:
        del last.update  # the instance's: the class's is what later tokens call
    return cache


def _pass(model: ReferenceModel, batch: list[Prepared], cache: Any) -> Any:
    import torch

    shared = batch[0].shared
    rows = [sample.with_question for sample in batch]
    with model.logits_at([0], [0]):  # none are needed
        return model.model(
            input_ids=padded([row.ids[:shared] for row in rows], model.pad, model.device),
            past_key_values=cache,
            use_cache=True,
            **images([sample.image for sample in batch], model.device, torch.float32),
            **aligned(rows, 0, shared, model.device),
        ).past_key_values


def _cache(model: ReferenceModel) -> tuple[Any, Any]:
    """An empty cache and the layer that is the last to write into it; (None, None): the model makes its own and runs on.

    A layer that reads an earlier one's keys and values keeps none. One that keeps a running state may change it after it has
    written, so no pass is ended there.
    """
    from transformers.cache_utils import DummyLayer, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    if not model.stops_early:
        return None, None
    cache = DynamicCache(config=model.model.config)
    keeping = [layer for layer in cache.layers if not isinstance(layer, DummyLayer)]
    if not keeping or type(keeping[-1]) not in (DynamicLayer, DynamicSlidingWindowLayer):
        return None, None
    return cache, keeping[-1]
