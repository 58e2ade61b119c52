"""The refresh flow without Prefect, stage after stage: what most tests of refreshes need is the method, not the server.

`tests/flows/test_refresh.py` holds it to the flow: on the store of a flow's run it finds every table made.
"""

from __future__ import annotations

from presel.config import RefreshConfig
from presel.runs import run_record
from presel.runs.run_record import RunRecord
from presel.stages.assemble import assemble
from presel.stages.basis import choose_basis
from presel.stages.calibrate import calibrate
from presel.stages.cluster import cluster
from presel.stages.embed import embed_part
from presel.stages.fit import fit_reference_model
from presel.stages.import_vectors import import_vectors
from presel.stages.ingest import ingest
from presel.stages.instruct import instruct
from presel.stages.plan import plan_budget
from presel.stages.publish import publish
from presel.stages.rank import rank
from presel.stages.recall import recall
from presel.stages.reference import draw_reference
from presel.stages.score import score_relevance
from presel.stages.select import select
from presel.stages.shrinkage import check_pool


def straight(config: RefreshConfig) -> RunRecord:
    """What `flows.refresh.refresh` makes, the report left out."""
    source, images, seed = config.source, config.encoder.images, config.seed
    catalog = ingest(source, config.store)
    embeddings = tuple(embed_part(part, source, config.encoder) for part in catalog.split())
    shown = [import_vectors(uri, config.store) for uri in config.test_vectors]
    for tests in config.tests:
        shown += [embed_part(part, tests, config.encoder) for part in ingest(tests, config.store).split()]
    samples = assemble(catalog, list(embeddings), shown, config.exclude_above)
    check_pool(catalog, embeddings, samples, config)
    tasks = samples.split()
    clusters = tuple(cluster(task, config.clustering, seed) for task in tasks)
    reference = tuple(draw_reference(task, config.reference, seed) for task in tasks)
    instructed = tuple(instruct(drawn, source, config.generator, images) for drawn in reference)
    basis = choose_basis(list(instructed), config)
    model = fit_reference_model(basis.split(), source, images, config.reference_model, seed)
    relevance = tuple(score_relevance(ref, model, source, images, config.scoring) for ref in basis.split())
    paid = recall(samples, config, basis.kept)
    guard = calibrate(samples, source, config.encoder, config.selection, seed)
    rankings = tuple(
        rank(task, labels, ref, before, config.selection, seed, guard)
        for task, labels, ref, before in zip(tasks, clusters, instructed, paid.split(), strict=True)
    )
    plan = plan_budget(samples, list(rankings), list(instructed), list(relevance), config.weights, config.budget, seed)
    record = RunRecord(
        config=config, catalog=catalog, embeddings=embeddings, samples=samples, clusters=clusters,
        reference=reference, reference_instructions=instructed, model=model, relevance=relevance,
        rankings=rankings, plan=plan, history=paid, basis=basis.kept, apart=tuple(shown), guard=guard,
    )  # fmt: skip
    selection = tuple(select(ranking, plan) for ranking in rankings)
    instructions = tuple(instruct(chosen, source, config.generator, images) for chosen in selection)
    dataset = publish(record.with_instructions(selection, instructions))
    finished = record.with_instructions(selection, instructions, dataset)
    run_record.save(finished)
    return finished
