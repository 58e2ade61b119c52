"""What a number of images would cost at most, before the first of them was ever asked about."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

from presel.config import GeneratorConfig
from presel.instruct.money.prices import Estimator, price_of
from presel.instruct.questions.request import opening
from presel.sources.captions import LONGEST

_ANY_CONTENT = "0" * 64
"""A request's size does not depend on which picture it is about."""
_DEAREST_CAPTION = LONGEST * '"'
"""Two bytes a letter, as it is sent."""


ROOM = 12
"""Requests for asking again that every announced price has room for, beside one answer for each image."""


def at_most(images: Mapping[str, int], generator: GeneratorConfig) -> float:
    """US dollars for so many images of each task: what a run spends on them at most without asking (allowance.py).

    One answer each, as long as it may be, the picture at its dearest rule, and the judge's word where there is a judge; and
    a dozen requests more. Bills are lower, as answers are shorter than they may be. Raises ConfigError for a model whose price
    nobody knows, and for a template that does not render.
    """
    return one_each(images, generator) + room(images, generator)


def one_each(images: Mapping[str, int], generator: GeneratorConfig) -> float:
    """The same without room for asking again."""
    return fsum(count * _dialogue(task, generator) for task, count in sorted(images.items()) if count)


def room(images: Mapping[str, int], generator: GeneratorConfig) -> float:
    """US dollars for a dozen of the dearest requests."""
    asked = [task for task, count in images.items() if count and not generator.by_people(task)]
    return ROOM * max((_dialogue(task, generator) for task in asked), default=0.0)


def for_a_person(generator: GeneratorConfig) -> float:
    """US dollars that an image is expected to cost where a person writes about it."""
    return (generator.people.hourly_rate or 0.0) * generator.people.minutes / 60


def _dialogue(task: str, generator: GeneratorConfig) -> float:
    """An answer about one image, and the judge's word on it, who reads the answer; or a person's time."""
    if generator.by_people(task):
        return for_a_person(generator)
    estimator = Estimator(price_of(generator))
    request = opening(_ANY_CONTENT, task, generator, caption=_DEAREST_CAPTION)
    cost = estimator.cost(request)
    judged = generator.prompt_of(task).judge
    return 2 * cost + estimator.price.of(request.output_limit, 0) if judged else cost
