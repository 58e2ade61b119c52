"""What a number of images would cost at most, before the first of them was ever asked about."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

from presel.config import GeneratorConfig
from presel.instruct.money.prices import Estimator, price_of
from presel.instruct.questions.request import opening

_ANY_CONTENT = "0" * 64
"""A request's size does not depend on which picture it is about."""


def at_most(images: Mapping[str, int], generator: GeneratorConfig) -> float:
    """US dollars for so many images of each task: one answer each, as long as it may be, the picture at its dearest rule.

    Bills are lower, as answers are shorter than they may be. Not in it: a judge, and asking again for an answer that was
    unusable. Raises ConfigError for a model whose price nobody knows, and for a template that does not render.
    """
    estimator = Estimator(price_of(generator))
    return fsum(
        count * estimator.cost(opening(_ANY_CONTENT, task, generator))
        for task, count in sorted(images.items())
        if count
    )
