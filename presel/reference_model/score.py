"""The two losses behind the Instruction Relevance Score, exactly and without doing anything twice.

The plain way costs two vision passes and two passes over prompt and response for every sample. But most of a sample is its
image (576 of some 700 tokens for LLaVA-1.5), which both passes begin with. So: one vision pass, one pass over the shared
prefix, its keys and values kept; then the two short remainders, with and without the question, in one batch; logits at
response positions alone. The numbers are those of `plain.py` within float rounding. Not every architecture lets a prefix stand
for itself (one whose image attends to the question does not), so the first sample of a loaded model is scored both ways; a
model that disagrees is scored the plain way from then on, with a warning.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, NamedTuple

from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.batches import aligned, bucketed, padded
from presel.reference_model.plain import plain_losses
from presel.reference_model.precision import precise
from presel.reference_model.prefix import prefix
from presel.reference_model.prepare import Prepared

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
TOLERANCE, HALF_TOLERANCE = 1e-4, 1e-2
"""Nats between the quick way and the plain one, in float32 and bfloat16; above 5 nats a fifth of it of the loss."""


class Losses(NamedTuple):
    """Mean negative log-likelihood in nats per response token."""

    id: str
    tokens: int | None
    """Of the response as the first loss has it; None where losses were imported without."""
    with_question: float
    without_question: float


def score(model: ReferenceModel, samples: Sequence[Prepared], batch_size: int) -> Iterator[Losses]:
    """Losses of every sample, in no particular order; a loss may be NaN or infinite if the model makes it so.

    The result does not depend on `batch_size` beyond float rounding (1e-4 in float32).
    """
    import torch

    for batch in bucketed(samples, batch_size):
        with torch.inference_mode(), precise(model):  # ends before each yield: it must not reach into the caller
            losses = _score_batch(model, batch)
        yield from losses


def _score_batch(model: ReferenceModel, batch: list[Prepared]) -> list[Losses]:
    import torch

    if batch[0].shared == 0 or not _shares_prefix(model, batch[0]):
        return [_plain(model, sample) for sample in batch]
    try:
        return _score_shared(model, batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    half = len(batch) // 2  # outside the handler, which would keep the failed pass's tensors alive
    return _score_batch(model, batch[:half]) + _score_batch(model, batch[half:])


def _score_shared(model: ReferenceModel, batch: list[Prepared]) -> list[Losses]:
    shared = batch[0].shared
    cache = prefix(model, batch)
    cache.batch_repeat_interleave(2)
    rows = list(chain.from_iterable((sample.with_question, sample.without_question) for sample in batch))
    counts = [len(row.response) for row in rows]
    at = list(chain.from_iterable(repeat(row, count) for row, count in enumerate(counts)))
    # The token before a response token predicts it.
    positions = [position - 1 - shared for row in rows for position in row.response]
    targets = [row.ids[position] for row in rows for position in row.response]
    with model.logits_at(at, positions):
        logits = model.model(
            input_ids=padded([row.ids[shared:] for row in rows], model.pad, model.device),
            past_key_values=cache,
            use_cache=True,
            **aligned(rows, shared, None, model.device),
        ).logits
    means = _means(logits, targets, counts)
    return [Losses(sample.id, counts[2 * n], means[2 * n], means[2 * n + 1]) for n, sample in enumerate(batch)]


def _means(logits: torch.Tensor, targets: list[int], counts: list[int]) -> list[float]:
    import torch

    target = torch.as_tensor(targets, device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits.float(), target, reduction="none").double().cpu()
    return [float(part.mean()) for part in torch.split(losses, counts)]


def _plain(model: ReferenceModel, sample: Prepared) -> Losses:
    first, second = plain_losses(model, sample)
    return Losses(sample.id, len(sample.with_question.response), first, second)


def _shares_prefix(model: ReferenceModel, sample: Prepared) -> bool:
    """Whether the quick way gives this model's losses; found out on the first sample with finite losses, scored both ways."""
    if model.shares_prefix is None:
        slow = _plain(model, sample)
        if not (math.isfinite(slow.with_question) and math.isfinite(slow.without_question)):
            return False
        why = _differs(model, sample, slow)
        if why is not None:  # the whole prefix pass may do what one that ends early does not
            model.stops_early = False
            why = _differs(model, sample, slow)
        model.shares_prefix = why is None
        if why is not None:
            log.warning("%s: %s: scoring one sample at a time instead", type(model.model).__name__, why)
    return model.shares_prefix


def _differs(model: ReferenceModel, sample: Prepared, expected: Losses) -> str | None:
    """Why the quick way is not open to this model, in words; None if it is.

    A cache of another kind (cross-attention, recurrent states) says so in as many ways as there are architectures.
    """
    import torch

    try:
        quick = _score_shared(model, [sample])[0]
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        return f"its cache cannot be shared ({type(error).__name__}: {str(error).strip()[:200]})"
    within = TOLERANCE if model.exact else HALF_TOLERANCE
    close = [abs(a - b) <= within * max(1.0, b / 5) for a, b in zip(quick[2:], expected[2:], strict=True)]
    return None if all(close) else f"a cached image prefix changes the losses ({quick[2:]}, should be {expected[2:]})"
