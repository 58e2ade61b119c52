"""One arm through the product: the stages in the flow's order, a published dataset, the fine-tuning stage.

Nothing is done here that a user's run does not do; only Prefect is left out, as in the tests. What an earlier arm of the same
seed has made (vectors, clusters, reference set, instructions) the store finds again.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.replication.arms import ARMS, Setting, Trial, config_of, tuning_of
from presel.config import ReferenceModelConfig, RefreshConfig
from presel.reference_model import lora
from presel.runs.run_record import RunRecord
from presel.stages.assemble import assemble
from presel.stages.basis import choose_basis
from presel.stages.calibrate import calibrate
from presel.stages.cluster import cluster
from presel.stages.embed import embed_part
from presel.stages.finetune import fine_tune
from presel.stages.fit import fit_reference_model
from presel.stages.ingest import ingest
from presel.stages.instruct import instruct
from presel.stages.plan import plan_budget
from presel.stages.publish import publish
from presel.stages.rank import rank
from presel.stages.recall import recall
from presel.stages.reference import draw_reference
from presel.stages.score import score_relevance
from presel.stages.select import select
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, rows_of

log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """A published dataset and what it took."""

    config: RefreshConfig
    dataset: DatasetRef
    tasks: list[dict[str, Any]]
    cost: float
    seconds: dict[str, float]


class Tuned(NamedTuple):
    config: ReferenceModelConfig
    adapter: dict[str, bytes]
    seconds: float
    loss: float


def choose(trial: Trial, setting: Setting, work: Path) -> Chosen:
    """The refresh of one arm, to its dataset."""
    clock = _Clock()
    config = config_of(trial, setting)
    if ARMS[trial.arm].reversed:
        config = config_of(trial, setting, _reversed(planned(config, clock), work, trial.seed))
    record = planned(config, clock)
    with clock.of("instruct"):
        selection = tuple(select(ranking, record.plan) for ranking in record.rankings)
        instructions = tuple(
            instruct(chosen, config.source, config.generator, config.encoder.images) for chosen in selection
        )
    with clock.of("publish"):
        dataset = publish(record.with_instructions(selection, instructions))
    made = [*record.reference_instructions, *instructions]
    cost = sum(table_store.facts(ref).get("cost_usd", 0.0) for ref in made)
    return Chosen(config, dataset, rows_of(table_store.read(record.plan)), cost, clock.seconds)


def planned(config: RefreshConfig, clock: _Clock) -> RunRecord:
    """What `flows.plan.plan` makes."""
    source, images, seed = config.source, config.encoder.images, config.seed
    with clock.of("embed"):
        catalog = ingest(source, config.store)
        embeddings = tuple(embed_part(part, source, config.encoder) for part in catalog.split())
        samples = assemble(catalog, list(embeddings))
        tasks = samples.split()
    with clock.of("cluster"):
        clusters = tuple(cluster(task, config.clustering, seed) for task in tasks)
    with clock.of("instruct"):
        reference = tuple(draw_reference(task, config.reference, seed) for task in tasks)
        instructed = tuple(instruct(drawn, source, config.generator, images) for drawn in reference)
    with clock.of("relevance"):
        basis = choose_basis(list(instructed), config)
        model = fit_reference_model(basis.split(), source, images, config.reference_model, seed)
        relevance = tuple(score_relevance(ref, model, source, images, config.reference_model) for ref in basis.split())
    with clock.of("rank"):
        paid = recall(samples, config, basis.kept)
        guard = calibrate(samples, source, config.encoder, config.selection, seed)
        rankings = tuple(
            rank(task, labels, ref, before, config.selection, seed, guard)
            for task, labels, ref, before in zip(tasks, clusters, instructed, paid.split(), strict=True)
        )
        plan = plan_budget(
            samples, list(rankings), list(instructed), list(relevance), config.weights, config.budget, seed
        )
    return RunRecord(
        config=config, catalog=catalog, embeddings=embeddings, samples=samples, clusters=clusters,
        reference=reference, reference_instructions=instructed, model=model, relevance=relevance,
        rankings=rankings, plan=plan, history=paid, basis=basis.kept, guard=guard,
    )  # fmt: skip


def tune(trial: Trial, setting: Setting, chosen: Chosen) -> Tuned:
    """The product's fine-tuning on the arm's dataset; nothing is held out of it, the test is another set."""
    started = time.process_time()
    config, source = tuning_of(trial, setting, chosen.config), chosen.config.source
    tuned = fine_tune(
        chosen.dataset, source, chosen.config.encoder.images, config, 0.0, trial.seed, chosen.config.store
    )
    adapter = {name: table_store.file(tuned, name) for name in (lora.WEIGHTS, lora.SETTINGS)} if tuned.rows else {}
    losses = [row["loss"] for row in rows_of(table_store.read(tuned))][-20:]
    return Tuned(config, adapter, time.process_time() - started, sum(losses) / max(1, len(losses)))


def _reversed(record: RunRecord, work: Path, seed: int) -> str:
    """A table of IRS by task for import: the highest in place of the lowest and so on down."""
    known = [(row["irs"], row["task"]) for row in rows_of(table_store.read(record.plan)) if row["irs"] is not None]
    values = sorted((irs for irs, _ in known), reverse=True)
    lines = [{"task": task, "irs": value} for (_, task), value in zip(sorted(known), values, strict=True)]
    path = work / f"reversed-{seed}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


class _Clock:
    """CPU seconds of this process by step: a busy machine disturbs them less than the time of day."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name, self._started = "", 0.0

    def of(self, name: str) -> _Clock:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        spent = time.process_time() - self._started
        self.seconds[self._name] = round(self.seconds.get(self._name, 0.0) + spent, 2)


__all__ = ["Chosen", "Tuned", "choose", "tune"]
