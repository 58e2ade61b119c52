"""The losses as their definition reads: two whole passes, one sample at a time.

Nothing is shared, cached, batched or left out. This is what the quick way must equal (tests), is measured against
(benchmarks/relevance.py) and falls back to.
"""

from __future__ import annotations

from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.batches import aligned, images, padded
from presel.reference_model.precision import precise
from presel.reference_model.prepare import ImageInputs, Prepared, Tokens


def plain_losses(model: ReferenceModel, sample: Prepared) -> tuple[float, float]:
    """L_{R|Q,I} and L_{R|I}, nats per response token."""
    first, second = sample.with_question, sample.without_question
    return _loss(model, sample.image, first), _loss(model, sample.image_of(second), second)


def _loss(model: ReferenceModel, image: ImageInputs, tokens: Tokens) -> float:
    import torch

    with torch.inference_mode(), precise(model):
        logits = model.model(
            input_ids=padded([tokens.ids], model.pad, model.device),
            use_cache=False,
            **images([image], model.device, torch.float32),
            **aligned([tokens], 0, None, model.device),
        ).logits[0]
        likelihood = logits.float().log_softmax(-1)
    terms = [float(likelihood[at - 1, tokens.ids[at]]) for at in tokens.response]
    return -sum(terms) / len(terms)
