"""Putting prepared samples side by side without changing what any of them computes.

Only samples whose images have the same tensor shapes and whose shared prefixes are equally long go together, so a prefix
needs no padding; what follows is padded on the right, where causal attention cannot see it. Sorting by length first keeps that
padding small: a batch costs what its longest member costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from presel.reference_model.prepare import ImageInputs, Prepared, Tokens

if TYPE_CHECKING:
    import torch


def shape_of(sample: Prepared) -> tuple[object, ...]:
    """What must be equal for two samples to share a batch."""
    return (sample.shared, *image_shape(sample.image))


def image_shape(image: ImageInputs) -> tuple[object, ...]:
    """What must be equal for two samples' image tensors to be one."""
    return tuple((name, tuple(value.shape[1:])) for name, value in sorted(image.items()))


def bucketed(samples: Sequence[Prepared], size: int) -> Iterator[list[Prepared]]:
    """Batches of at most `size`, each of one shape and of samples of similar length."""
    ordered = sorted(
        samples, key=lambda s: (str(shape_of(s)), len(s.with_question.ids), len(s.without_question.ids), s.id)
    )
    for _, group in groupby(ordered, key=shape_of):
        members = list(group)
        yield from (members[at : at + size] for at in range(0, len(members), size))


def images(inputs: Sequence[ImageInputs], device: torch.device, dtype: torch.dtype) -> ImageInputs:
    """The image tensors of a batch on the model's device; pixels in the model's precision."""
    import torch

    joined = {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype) for name, value in joined.items()
    }


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> torch.Tensor:
    """Rows of unequal length as one (rows, longest) tensor, padded on the right."""
    import torch

    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)


def aligned(rows: Sequence[Tokens], start: int, stop: int | None, device: torch.device) -> dict[str, torch.Tensor]:
    """The token-aligned inputs of tokens [start, stop) of every row, padded with zeros."""
    return {name: padded([row.aligned[name][start:stop] for row in rows], 0, device) for name in rows[0].aligned}
