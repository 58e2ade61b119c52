"""The Instruction Relevance Score of a sample, out of its two losses (METHOD, step 3)."""

from __future__ import annotations

import math

DIGITS = 6
"""Of a loss: float rounding differs between batch sizes from the seventh on."""


def relevance(with_question: float, without_question: float, floor: float = 0.0) -> float:
    """The Instruction Relevance Score: the ratio of the two losses; 1 where a response is certain either way.

    Losses and floor in nats per response token, floor >= 0. A response that the model knows from the image to 0.002 nats a
    token has a ratio too, of two kinds of rounding: one such sample can outweigh a task (5.4 was the mean of twenty in the
    demo). So a loss counts for at least `floor`.
    """
    above, below = max(with_question, floor), max(without_question, floor)
    return above / below if below > 0 else 1.0


def rounded(with_question: float, without_question: float) -> tuple[float, float]:
    """Both losses to DIGITS."""
    return round(with_question, DIGITS), round(without_question, DIGITS)


def not_finite(with_question: float, without_question: float) -> str | None:
    """Why no score can be made of two losses, in words; None where one can."""
    if math.isfinite(with_question) and math.isfinite(without_question):
        return None
    return f"with question {with_question}, without {without_question}"
