"""Samples become instructions: read the picture if it must be bought, ask, follow up, until a verdict.

A bounded number of samples is under way, enough to keep the API busy and few enough that memory does not grow with
the pool: a sample holds one encoded picture, about 130 kB.
"""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from presel.config import GeneratorConfig, ImageConfig, PromptConfig, SourceConfig
from presel.errors import BudgetExceeded, ConfigError, InputError
from presel.images import Rejected, for_api
from presel.images.reasons import WITHOUT_ANSWER, Reason
from presel.instruct.engine import Engine
from presel.instruct.jobs import Unanswerable
from presel.instruct.ledger import Answer
from presel.instruct.questions.dialogue import Instruction, follow
from presel.instruct.questions.judging import judge
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.rating import RATE, rate, too_bad
from presel.instruct.questions.request import Request, opening
from presel.instruct.worth import Worth
from presel.sources import Source, open_source
from presel.sources.captions import Captions

Row = dict[str, Any]

_drawing = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Dozens of threads wait for the store at once, but only so many decode: the loop that sends must get its share of the CPU."""


@dataclass(frozen=True)
class Verdict:
    """What became of one sample: an instruction or a problem, and the answers it took."""

    row: Row
    outcome: Instruction | Problem
    answers: tuple[Answer, ...] = ()
    bought: tuple[bool, ...] = ()
    """For each answer, whether this run paid for it."""

    @property
    def cost_usd(self) -> float:
        """Of all answers, whichever run bought them."""
        return sum(answer.cost_usd for answer in self.answers)


@dataclass
class Samples:
    """How samples of one task are instructed."""

    engine: Engine
    source: SourceConfig
    generator: GeneratorConfig
    images: ImageConfig
    _source: Source = field(init=False)
    _captions: Captions = field(init=False)
    _worth: dict[str, Worth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._source = open_source(self.source)
        self._captions = Captions(self._source)

    async def instruct(self, rows: Sequence[Row], tell: Callable[[Verdict], None]) -> list[Verdict]:
        """A verdict for every row, in the order of the rows; `tell` hears each as it comes, in any order.

        Raises the PreselError that ends the run. Answers that were under way by then are still kept.
        """
        self._source.expect(len(rows))
        if any(self._prompt(row).uses_caption for row in rows):
            await asyncio.to_thread(self._captions.look_up, [(row["key"], row["task"]) for row in rows])
        places = asyncio.Semaphore(self._places())

        async def one(row: Row) -> Verdict:
            try:
                verdict = await self._verdict(row)
            finally:
                places.release()
            tell(verdict)
            self._look_at(verdict)
            return verdict

        tasks: list[asyncio.Task[Verdict]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    await places.acquire()
                    tasks.append(group.create_task(one(row)))
        except BaseExceptionGroup as several:  # one cause stops them all: say it once
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]

    def _look_at(self, verdict: Verdict) -> None:
        """Raises EndpointRefused where nearly nothing that comes back can be used."""
        problem = verdict.outcome if isinstance(verdict.outcome, Problem) else None
        own = self._worth.setdefault(verdict.row["task"], Worth(f"task {verdict.row['task']}"))
        for worth in (own, self.engine.worth):
            if (why := worth.hear(problem, verdict.answers)) is not None:
                self.engine.stop(why)
                raise why

    def _places(self) -> int:
        """Samples under way at once. In a batch they hold no picture, and a whole file of them must be."""
        live = 2 * self.generator.concurrency + 128
        return max(live, self.generator.batch.requests_per_file) if self.generator.mode == "batch" else live

    def _prompt(self, row: Row) -> PromptConfig:
        return self.generator.prompt_of(row["task"])

    async def _first(self, row: Row) -> Request:
        """The first question about a sample. Raises Unanswerable where its prompt shows a caption and there is none."""
        if not self._prompt(row).uses_caption:
            return opening(row["content"], row["task"], self.generator)
        caption = await asyncio.to_thread(self._captions.of, row["key"], row["task"])
        if isinstance(caption, Rejected):
            raise Unanswerable(caption.reason, caption.detail)
        try:
            return opening(row["content"], row["task"], self.generator, caption=caption)
        except ConfigError as error:
            if caption is not None:
                raise
            raise Unanswerable(Reason.NO_CAPTION, f"no text beside it: {self._captions.where(row['key'])}") from error

    async def _verdict(self, row: Row) -> Verdict:
        prompt = self._prompt(row)
        answers: list[Answer] = []
        bought: list[bool] = []
        language = prompt.language if prompt.check_language else None

        async def asked(request: Request) -> None:
            made = partial(self.picture, row["key"], row["content"])
            answer, new = await self.engine.answer(request, made, at=made, urgent=bool(answers))
            answers.append(answer)
            bought.append(new)

        try:
            first = await self._first(row)
            while isinstance(step := follow(first, answers, prompt.turns, language), Request):
                await asked(step)
            if isinstance(step, Instruction) and prompt.judge:
                step = await self._judged(first, step, prompt, answers, asked)
        except Unanswerable as error:
            step = Problem(error.reason, str(error))
        except BudgetExceeded:
            if self.generator.on_cap == "stop":
                raise
            step = Problem(Reason.CAP_REACHED, "not paid for: the next request could pass generator.max_cost")
        return Verdict(row, step, tuple(answers), tuple(bought))

    async def _judged(
        self,
        first: Request,
        made: Instruction,
        prompt: PromptConfig,
        answers: list[Answer],
        ask: Callable[[Request], Awaitable[None]],
    ) -> Instruction | Problem:
        """What a judge makes of turns. `ask` adds to `answers`."""
        written = len(answers)
        if prompt.judge != RATE:
            while isinstance(word := judge(first, made.turns, prompt.judge or "", answers[written:]), Request):
                await ask(word)
            return word or made
        try:
            while isinstance(ratings := rate(first, made.turns, answers[written:]), Request):
                await ask(ratings)
        except Unanswerable as error:
            if error.reason in WITHOUT_ANSWER:
                raise  # it is asked again another time
            return made
        return too_bad(ratings, prompt.reject_below) or replace(made, ratings=ratings)

    def picture(self, key: str, content: str, side: int | None = None) -> bytes:
        """The JPEG to send, in base64; `side`: in place of `image_side`.

        Raises Unanswerable when the image is gone or is not the one that was chosen.
        """
        data = self._source.read_content(key, content)
        if isinstance(data, Rejected):
            raise Unanswerable(data.reason, data.detail)
        try:
            with _drawing:
                return base64.b64encode(for_api(data, self.images, side or self.generator.image_side))
        except InputError as error:
            raise Unanswerable(Reason.UNDECODABLE, str(error.got)) from error
