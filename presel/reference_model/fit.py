"""Fitting the reference model on the reference instructions: which samples when, at which rate, and where it got to.

One epoch of LoRA (METHOD, step 2): AdamW, cosine with warm-up, the projector at its own small rate. Question dropout is ours: a
share of the samples is fitted without their question, so that the question-free prompt of the second loss belongs to what
the model has seen (0 is the paper's recipe). Every choice is drawn from (seed, epoch or step, sample id) and not from a
generator that runs along: the same fit for any order of the samples, and for a fit that was interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from presel.config import LoraConfig
from presel.images.reasons import Reason
from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.checkpoint import Checkpoint, State
from presel.reference_model.prepare import Unusable
from presel.reference_model.reading import Read, Sample, read_ahead
from presel.reference_model.training import Lesson, Trainer


class Fitted(NamedTuple):
    history: list[dict[str, Any]]
    """Rows of the FIT table, one per optimiser step; the loss is in nats per response token."""
    unusable: dict[str, tuple[Reason, str]]
    """Sample id -> (reason, detail)."""
    steps: int


def fit(
    model: ReferenceModel,
    samples: Sequence[Sample],
    read: Read,
    config: LoraConfig,
    seed: int,
    checkpoint: Checkpoint,
    on_step: Callable[[int, int, float], None],
    every: float = math.inf,
    *,
    keep_last: bool = False,
) -> Fitted:
    """Fit the adapter attached to `model` (lora.attach) in place, going on from `checkpoint` when there is one.

    `on_step(done, total, loss)` is called after every step; `every`: seconds between checkpoints; `keep_last`: save the last
    state, too, for work that goes on after it. On a CPU the result is a function of model, samples, config and seed.
    """
    steps = schedule(samples, config, seed)
    trainer = Trainer(model, config)
    state = checkpoint.restore(model, trainer.optimizer) or State(0, [], {})
    saved = time.monotonic()
    for reached in _run(trainer, steps, steps_per_epoch(len(samples), config), read, config, seed, state):
        state = reached
        on_step(state.step, len(steps), state.history[-1]["loss"] if state.history else math.nan)
        if time.monotonic() - saved >= every and state.step < len(steps):
            checkpoint.save(model, trainer.optimizer, state)
            saved = time.monotonic()
    if keep_last:
        checkpoint.save(model, trainer.optimizer, state)
    model.model.eval()
    return Fitted(state.history, state.unusable, state.step)


def schedule(samples: Sequence[Sample], config: LoraConfig, seed: int) -> list[list[Sample]]:
    """The samples of every step: each epoch a new order, which depends on seed and ids alone; none without samples."""
    ordered = sorted(samples, key=lambda sample: sample.id)
    each = steps_per_epoch(len(ordered), config)
    wanted = config.epochs * each if config.steps is None or not ordered else config.steps
    steps: list[list[Sample]] = []
    for epoch in range(math.ceil(wanted / max(1, each))):
        shuffled = Random(f"{seed}/fit/{epoch}").sample(ordered, len(ordered))
        steps.extend(shuffled[at : at + config.batch] for at in range(0, len(shuffled), config.batch))
    return steps[:wanted]


def steps_per_epoch(samples: int, config: LoraConfig) -> int:
    return math.ceil(samples / config.batch)


def pace(step: int, total: int, warmup: float) -> float:
    """The share of the learning rate in a step (0-based): linear warm-up, then a cosine to zero.

    The first step already moves (1/w of the rate rather than 0/w): of the few steps of a small reference set none is wasted.
    """
    rise = math.ceil(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def drops_question(sample_id: str, epoch: int, config: LoraConfig, seed: int) -> bool:
    """Whether a sample is shown without its question in that epoch."""
    return Random(f"{seed}/question/{epoch}/{sample_id}").random() < config.question_dropout


def _run(
    trainer: Trainer,
    steps: list[list[Sample]],
    per_epoch: int,
    read: Read,
    config: LoraConfig,
    seed: int,
    state: State,
) -> Iterator[State]:
    """The state after every step that is still to do."""
    history, unusable = list(state.history), dict(state.unusable)
    stream = read_ahead(read, (sample for step in steps[state.step :] for sample in step))
    for number in range(state.step, len(steps)):
        lessons = []
        for sample, prepared in islice(stream, len(steps[number])):
            if isinstance(prepared, Unusable):
                unusable[sample.id] = (prepared.reason, prepared.detail)
            elif drops_question(sample.id, number // per_epoch, config, seed):
                lessons.append(Lesson(prepared, prepared.without_question))
            else:
                lessons.append(Lesson(prepared, prepared.with_question))
        share = pace(number, len(steps), config.warmup)
        loss, spoiled = trainer.step(lessons, share, Random(f"{seed}/step/{number}").getrandbits(32))
        unusable.update(dict.fromkeys(spoiled, (Reason.LOSS_NOT_FINITE, "while fitting")))
        if loss is not None:
            rate = config.learning_rate * share
            history.append({"step": number + 1, "epoch": (number + 1) / per_epoch, "loss": loss, "learning_rate": rate})
        yield State(number + 1, history, unusable)
