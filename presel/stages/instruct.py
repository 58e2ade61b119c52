"""Instructions for the picked samples of one task, and for the next-best ones where a picked one fails (METHOD, step 10).

A seat is never lost silently. What cannot be instructed (the image is gone, the provider refuses it, its answers are
unusable) becomes a reject, and its seat goes to the same cluster's next sample by order; when the cluster has none
left, to the next of any cluster; when the task has none left, it is noted as shortfall.

Seats are handed on in rounds, when every answer of the round before is in: so who succeeds whom depends on the
answers alone, never on which came first, and a rerun from the ledger gives the same bytes. The price is one round
trip per round, of which there are seldom more than three. Samples are asked for in pick order, so that a run which
ends at the money cap has paid for the beginning of the ranking: exactly what a smaller budget would have picked.

With `on_cap: publish` such a run does not end: what is not paid for is rejected as `cap_reached`, its seat stays empty, and the
table is unfinished (`presel.tables.unfinished`): the next run asks for the rest, and buys nothing twice. The same goes for
`unavailable`, a request that got no answer while nobody else did, and for a picture that could not be read this time: its
replacement makes room again.

Where people write a task's instructions (`by: people`), nobody is asked here: what they have handed in is in the ledger, and
the rest is rejected as `pending`, with its seat kept, until it comes back.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa

from presel.concurrency import progress
from presel.config import GeneratorConfig, ImageConfig, SourceConfig
from presel.images.reasons import PASSING, WITHOUT_ANSWER, Reason
from presel.instruct.engine import Engine
from presel.instruct.people.waiting import People
from presel.instruct.questions.dialogue import Instruction
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.request import PEOPLE
from presel.instruct.samples import Row, Samples, Verdict
from presel.instruct.sharing import draining_on_sigterm, shared
from presel.runs.figures import dollars
from presel.tables import ratings, table_store, unfinished
from presel.tables.schemas import INSTRUCTIONS, TableRef
from presel.tables.table_store import Output

P = ParamSpec("P")
T = TypeVar("T")
Ask = Callable[[list[Row]], list[Verdict]]
log = logging.getLogger(__name__)
_KEEPS_ITS_SEAT = frozenset({Reason.CAP_REACHED, Reason.PENDING})
_ANOTHER_TIME = _KEEPS_ITS_SEAT | WITHOUT_ANSWER | PASSING
"""Reasons that say something about the moment: the next run asks about these samples again."""
_REPORT_EVERY = 0.5
_COLUMNS = ["sample_id", "task", "key", "content", "cluster", "order", "picked"]


class InstructStage(unfinished.OpenStage[P]):
    """A stage whose key also holds the texts beside the pictures, where a prompt shows them: the catalog's covers them."""

    def key(self, inputs: Mapping[str, Any]) -> str:
        named = {name: value for name, value in inputs.items() if name != "catalog"}
        catalog, generator, source = inputs.get("catalog"), inputs["generator"], inputs["source"]
        tasks = [part.label for part in inputs["wanted"].parts]
        if catalog is not None and any(generator.prompt_of(task).uses_caption for task in tasks):
            named["captions"] = [catalog.key, source.captions, source.caption_field]
        return super().key(named)

    def missing(
        self,
        wanted: Sequence[TableRef],
        source: SourceConfig,
        generator: GeneratorConfig,
        images: ImageConfig,
        catalog: TableRef,
    ) -> list[TableRef]:
        """Those of `wanted` whose instructions are not all there."""
        inputs = {"source": source, "generator": generator, "images": images, "catalog": catalog}
        keys = ((ref, self.key({"wanted": ref, **inputs})) for ref in wanted)
        return [ref for ref, key in keys if table_store.find(ref.store, self.name, key) is None]


def _instruct(
    out: Output,
    wanted: TableRef,
    source: SourceConfig,
    generator: GeneratorConfig,
    images: ImageConfig,
    catalog: TableRef | None = None,  # noqa: ARG001 - it is in the key
) -> None:
    """INSTRUCTIONS for as many samples of one task as `wanted` (REFERENCE or SELECTION) has picked, sorted by sample id.

    Raises ConfigError (no key, no price, a template that does not render), BudgetExceeded (with `on_cap: stop`, and where
    more than was announced could be spent), EndpointRefused (also where nearly nothing that comes back can be used) and
    EndpointUnavailable; whatever was answered until then is in the ledger.
    """
    rows = sorted(table_store.read(wanted, _COLUMNS).to_pylist(), key=_by_order)
    reserve = [row for row in rows if not row["picked"]]
    seats = [row for row in rows if row["picked"]]
    verdicts: list[Verdict] = []
    unfinished.is_last(out)
    asked = _people if generator.by_people(wanted.label) else _api
    with draining_on_sigterm(), asked(wanted, seats, source, generator, images) as ask:
        while seats:
            answered = ask(seats)
            verdicts += answered
            seats = successors([v.row for v in answered if _leaves_a_seat(v)], reserve)
    _write(out, verdicts, generator, wanted.label)
    picked = sum(row["picked"] for row in rows)
    facts = _facts(verdicts, picked)
    out.note(**facts)
    if facts["unpaid"]:
        said = "%s: %d of %d picks are not paid for: the money cap is reached (generator.max_cost)"
        log.warning(said, wanted.label, facts["unpaid"], picked)
    if facts["pending"]:
        said = "%s: %d of %d picks wait for people: `presel handoff` writes their tasks"
        log.warning(said, wanted.label, facts["pending"], picked)


instruct = InstructStage(_instruct, "instruct", 2, lacks="unanswered")
"""instruct(wanted, source, generator, images, catalog) -> TableRef of INSTRUCTIONS."""


@contextmanager
def _api(
    wanted: TableRef, seats: list[Row], source: SourceConfig, generator: GeneratorConfig, images: ImageConfig
) -> Iterator[Ask]:
    """Asks the endpoint, and reports how far it is."""
    with shared(wanted.store, generator) as engine:
        engine.announce(Counter(row["task"] for row in seats))
        samples = Samples(engine, source, generator, images)
        waiting = _Waiting(wanted, len(seats), engine)
        yield lambda rows: waiting.until(engine.run(samples.instruct(rows, waiting.hear)))


@contextmanager
def _people(
    wanted: TableRef, seats: list[Row], _source: SourceConfig, generator: GeneratorConfig, _images: ImageConfig
) -> Iterator[Ask]:
    """Looks what people have handed in."""
    people, label, made = People(wanted.store, generator), f"{wanted.stage} {wanted.label}", 0

    def ask(rows: list[Row]) -> list[Verdict]:
        nonlocal made
        found = people.verdicts(rows)
        made += sum(isinstance(verdict.outcome, Instruction) for verdict in found)
        progress.report("instruct", label, made, len(seats), "instructions", "written by people")
        return found

    yield ask


def _leaves_a_seat(verdict: Verdict) -> bool:
    """Whether another sample may take its seat: not where money or time is missing, which that one would want, too."""
    return isinstance(verdict.outcome, Problem) and verdict.outcome.reason not in _KEEPS_ITS_SEAT


def successors(failed: Sequence[Row], reserve: list[Row]) -> list[Row]:
    """Who takes the seats of `failed` samples; they leave `reserve` (ordered by `order`). Fewer than seats: a shortfall."""
    chosen: list[Row] = []
    open_seats = Counter(row["cluster"] for row in failed)
    for row in list(reserve):
        if open_seats[row["cluster"]] > 0:
            open_seats[row["cluster"]] -= 1
            chosen.append(row)
            reserve.remove(row)
    homeless = open_seats.total()
    chosen += reserve[:homeless]
    del reserve[:homeless]
    return sorted(chosen, key=_by_order)


class _Waiting:
    """The stage's thread waits for the engine's, and says how far it is: `hear` is called there, reports are made here."""

    def __init__(self, wanted: TableRef, seats: int, engine: Engine) -> None:
        self._label, self._seats, self._engine = f"{wanted.stage} {wanted.label}", seats, engine
        self._made, self._cost = 0, 0.0
        self._bought = dict.fromkeys(("requests", "spent_usd", "input_tokens", "output_tokens"), 0.0)

    def hear(self, verdict: Verdict) -> None:
        self._made += isinstance(verdict.outcome, Instruction)
        self._cost += verdict.cost_usd
        for answer in (a for a, new in zip(verdict.answers, verdict.bought, strict=True) if new):
            self._bought["requests"] += 1
            self._bought["spent_usd"] += answer.cost_usd
            self._bought["input_tokens"] += answer.input_tokens
            self._bought["output_tokens"] += answer.output_tokens

    def until(self, work: Future[T]) -> T:
        while not wait([work], timeout=_REPORT_EVERY).done:
            self._report()
        self._report()
        return work.result()

    def _report(self) -> None:
        spent, cap = self._bought["spent_usd"], self._engine.generator.max_cost
        figures = {**self._bought, "saved_usd": max(0.0, self._cost - spent)}
        note = f"{dollars(spent)} spent"
        if figures["saved_usd"]:
            note += f", {dollars(figures['saved_usd'])} saved by reuse"
        if cap != "unlimited":
            store = self._engine.spent()
            figures |= {"store_usd": store, "cap_usd": cap}
            note += f"; the store: {dollars(figures['store_usd'])} of {dollars(cap)}"
        trouble = self._engine.done.trouble()
        note = "; ".join(words for words in (trouble, self._engine.note, note) if words)
        progress.report("instruct", self._label, self._made, self._seats, "instructions", note, figures, trouble)


def _by_order(row: Row) -> tuple[int, str]:
    return row["order"], row["sample_id"]


def _write(out: Output, verdicts: Sequence[Verdict], generator: GeneratorConfig, label: str) -> None:
    made = [_record(v, v.outcome, generator) for v in verdicts if isinstance(v.outcome, Instruction)]
    out.write_rows(sorted(made, key=lambda row: str(row["sample_id"])), INSTRUCTIONS, label)
    rated = [(v.row["sample_id"], v.outcome.ratings) for v in verdicts if isinstance(v.outcome, Instruction)]
    rows = [ratings.row(sample_id, found) for sample_id, found in sorted(rated, key=lambda each: each[0]) if found]
    if rows:
        out.write_file(ratings.FILE, table_store.encode(pa.Table.from_pylist(rows, schema=ratings.RATINGS)))
    for verdict in verdicts:
        if isinstance(verdict.outcome, Problem):
            row, problem = verdict.row, verdict.outcome
            out.reject(
                task=row["task"],
                key=row["key"],
                id=row["sample_id"],
                reason=problem.reason,
                detail=problem.detail,
            )


def _record(verdict: Verdict, instruction: Instruction, generator: GeneratorConfig) -> dict[str, Any]:
    row = verdict.row
    return {
        **{name: row[name] for name in ("sample_id", "task", "key", "content")},
        "kind": generator.prompt_of(row["task"]).kind,
        "turns": [{"question": turn.question, "response": turn.response} for turn in instruction.turns],
        "model": PEOPLE if generator.by_people(row["task"]) else generator.model,
        "request": instruction.request,
        "input_tokens": sum(answer.input_tokens for answer in verdict.answers),
        "output_tokens": sum(answer.output_tokens for answer in verdict.answers),
        "cost_usd": verdict.cost_usd,
    }


def _facts(verdicts: Sequence[Verdict], picked: int) -> dict[str, Any]:
    """Money and counts. `spent_usd` is this run's; `cost_usd` that of every answer used, whichever run bought it."""
    answers = [(answer, new) for v in verdicts for answer, new in zip(v.answers, v.bought, strict=True)]
    rejected = [v for v in verdicts if isinstance(v.outcome, Problem)]
    reasons = Counter(v.outcome.reason for v in verdicts if isinstance(v.outcome, Problem))
    return {
        "requests": sum(new for _, new in answers),
        "reused": sum(not new for _, new in answers),
        "spent_usd": sum(answer.cost_usd for answer, new in answers if new),
        "cost_usd": sum(answer.cost_usd for answer, _ in answers),
        "saved_usd": sum(answer.cost_usd for answer, new in answers if not new),
        "rejected_usd": sum(v.cost_usd for v in rejected),
        "input_tokens": sum(answer.input_tokens for answer, _ in answers),
        "output_tokens": sum(answer.output_tokens for answer, _ in answers),
        "unpaid": reasons[Reason.CAP_REACHED],
        "pending": reasons[Reason.PENDING],
        "unanswered": sum(reasons[reason] for reason in _ANOTHER_TIME),
        "shortfall": picked - (len(verdicts) - len(rejected)),
    }
