"""A judge's verdict in place of a reference model's losses: how sure is it of an answer with its question, and without?

Any chat API can be the judge: two requests a reference sample, each for one word. "Is this answer right for this question
about this image?" and "is it right for some question that one may ask about it?". Minus the logarithm of P(yes) takes the
place of the two losses, so everything after it (ratio, weights, plan) is what it is for the paper's IRS. It is not the paper's
IRS: there a model predicts the response, here it judges one.

P(yes) is read from the first word's log-probabilities. Where a server gives none, it is asked several times and counted
(`votes`). The requests are like all others: in the ledger, under the money cap, never bought twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from presel.config import GeneratorConfig, ImageConfig, PromptConfig, RefreshConfig, SourceConfig, VerdictConfig
from presel.errors import EndpointRefused
from presel.images.reasons import Reason
from presel.instruct.completion import choice_of
from presel.instruct.engine import Engine
from presel.instruct.jobs import Unanswerable
from presel.instruct.ledger import Answer
from presel.instruct.money.prices import Estimator, price_of
from presel.instruct.questions.parsing import Problem, said_by
from presel.instruct.questions.request import Request, opening
from presel.instruct.samples import Samples
from presel.tables.turn import Turn

WHERE = "reference_model.verdict"
_SYSTEM = "You check answers about images. Answer with one word: yes or no."
_ASKED = "Is this answer right for this question about the image?\n\n{turns}\n\nAnswer with one word: yes or no."
_UNASKED = (
    "Somebody asked something about the image, and this is the answer; what was asked is not known. Is it right?\n\n"
    "{turns}\n\nAnswer with one word: yes or no."
)
_WORDS, _TOP, _FIRST = 4, 5, 3
"""Tokens that a verdict may have; alternatives that are asked for each; the tokens among which the word is looked for."""
_SURE = 1e-6
"""No verdict is surer than by this: a logarithm of nothing has no ratio."""


class Asked(NamedTuple):
    """What the judge is asked about."""

    task: str
    key: str
    content: str
    turns: tuple[Turn, ...]


class Judge:
    """One judge, in an engine that asks its endpoint (`api` of its settings)."""

    def __init__(self, engine: Engine, config: VerdictConfig, source: SourceConfig, images: ImageConfig) -> None:
        self._engine, self._config = engine, config
        self._samples = Samples(engine, source, engine.generator, images)

    async def losses(self, asked: Sequence[Asked]) -> list[tuple[float, float] | Problem]:
        """Minus the logarithm of P(yes), with the question and without, for each in order.

        The first is asked alone: a server without log-probabilities is known by one answer. Raises EndpointRefused for such a
        one, and what asking raises.
        """
        first = [await self._both(each) for each in asked[:1]]
        places = asyncio.Semaphore(2 * self._config.concurrency)

        async def one(each: Asked) -> tuple[float, float] | Problem:
            async with places:
                return await self._both(each)

        return [*first, *await asyncio.gather(*map(one, asked[1:]))]

    async def _both(self, asked: Asked) -> tuple[float, float] | Problem:
        try:
            sure = [await self._sure(asked, with_question) for with_question in (True, False)]
        except Unanswerable as error:
            if error.reason is Reason.DECLINED and "logprobs" in str(error):
                raise _no_logprobs(self._config, str(error)) from None
            return Problem(error.reason, str(error))
        if None in sure:
            return Problem(Reason.NO_VERDICT, "neither yes nor no was among its words")
        return (-math.log(sure[0] or 0.5), -math.log(sure[1] or 0.5))

    async def _sure(self, asked: Asked, with_question: bool) -> float | None:
        """P(yes); None where the judge says neither yes nor no."""
        made = partial(self._samples.picture, asked.key, asked.content)
        requests = questions(asked, with_question, self._engine.generator, self._config.votes)
        answers = [(await self._engine.answer(request, made, at=made))[0] for request in requests]
        if self._config.votes is not None:
            return counted([said_by(answer) for answer in answers])
        if answers[0].status == 200 and not _entries(answers[0]):
            raise _no_logprobs(self._config, "its answer holds none")
        return read_off(answers[0])


def api(config: VerdictConfig, max_cost: float | str) -> GeneratorConfig:
    """The judge's endpoint as an engine takes it. `max_cost`: of the store."""
    asked = config.model_dump(
        include={"model", "base_url", "api_key_env", "prices", "image_side", "concurrency", "timeout"}
    )
    return GeneratorConfig.model_validate(
        {**asked, "prompt": PromptConfig(), "max_cost": max_cost, "temperature": 0.0, "max_output_tokens": _WORDS}
    )


def at_most(images: Mapping[str, int], settings: RefreshConfig) -> float:
    """US dollars for the verdicts on so many images of each task, each answer as long as it may be; 0 without a judge."""
    config = settings.scoring.verdict
    if config is None:
        return 0.0
    generator = api(config, "unlimited")
    estimator = Estimator(price_of(generator))
    longest = "x" * (4 * settings.generator.max_output_tokens)
    asked = questions(Asked("", "", "0" * 64, (Turn(longest, ""),)), True, generator, config.votes)
    return 2 * sum(images.values()) * math.fsum(map(estimator.cost, asked))


def questions(asked: Asked, with_question: bool, generator: GeneratorConfig, votes: int | None) -> list[Request]:
    """The requests for one verdict: one, or one for each vote."""
    opened = opening(asked.content, asked.task, generator)
    picture = opened.messages[1]["content"][1]
    text = (_ASKED if with_question else _UNASKED).format(turns=_written(asked.turns, with_question))
    user = {"role": "user", "content": [{"type": "text", "text": text}, picture]}
    plain = replace(opened, messages=({"role": "system", "content": _SYSTEM}, user), schema={})
    if votes is None:
        return [replace(plain, parameters={**plain.parameters, "logprobs": True, "top_logprobs": _TOP})]
    warm = {name: 1.0 if name == "temperature" else value for name, value in plain.parameters.items()}
    # The number stands in the words: where a server takes no seed, equal requests would be one answer.
    systems = [f"{_SYSTEM} This is vote {number} of {votes}." for number in range(1, votes + 1)]
    return [replace(plain, messages=({"role": "system", "content": s}, user), parameters=warm) for s in systems]


def read_off(answer: Answer) -> float | None:
    """P(yes) of yes and no, from the log-probabilities of the first words."""
    for entry in _entries(answer)[:_FIRST]:
        shares = _shares(entry)
        yes, no = (math.fsum(share for word, share in shares if _word(word) == said) for said in ("yes", "no"))
        if yes or no:
            # What is not among the words shown has at most what none of them has, and no more than the least of them.
            hidden = max(0.0, min(1.0 - math.fsum(s for _, s in shares), min(s for _, s in shares)))
            return _bounded((yes or hidden) / ((yes or hidden) + (no or hidden)))
    return None


def counted(words: Sequence[str]) -> float | None:
    """P(yes) from votes, with half a vote for either side."""
    said = [_word(text.split()[0]) for text in words if text.split()]
    yes, no = said.count("yes"), said.count("no")
    return (yes + 0.5) / (yes + no + 1.0) if yes + no else None


def _written(turns: Sequence[Turn], with_question: bool) -> str:
    lines = ([f"Question: {turn.question}"] if with_question else [] for turn in turns)
    return "\n".join("\n".join([*asked, f"Answer: {turn.response}"]) for asked, turn in zip(lines, turns, strict=True))


def _entries(answer: Answer) -> list[Any]:
    found = choice_of(answer.body).get("logprobs")
    content = found.get("content") if isinstance(found, Mapping) else None
    return content if isinstance(content, list) else []


def _shares(entry: Any) -> list[tuple[str, float]]:
    """Words with their probabilities: the alternatives, and the one that was said where it is not among them."""
    if not isinstance(entry, Mapping):
        return []
    top = entry.get("top_logprobs")
    found: dict[str, float] = {}
    for each in [*(top if isinstance(top, list) else []), entry]:
        if isinstance(each, Mapping) and isinstance(each.get("token"), str):
            logarithm = each.get("logprob")
            if isinstance(logarithm, int | float) and not isinstance(logarithm, bool) and logarithm <= 1e-6:
                found.setdefault(each["token"], min(1.0, math.exp(max(logarithm, -700.0))))
    return list(found.items())


def _word(token: str) -> str:
    return token.strip(" \t\n\"'`*.,:!▁Ġ").lower()


def _bounded(share: float) -> float:
    return min(max(share, _SURE), 1.0 - _SURE)


def _no_logprobs(config: VerdictConfig, said: str) -> EndpointRefused:
    return EndpointRefused(
        f"the judge's server gives no log-probabilities: {said}"[:500],
        where=WHERE,
        expected="`logprobs` in its answers",
        got=f"{config.model} at {config.base_url}",
        fix="set `reference_model.verdict.votes: 9` to ask several times and count, or name a model that gives them",
    )
