"""The plan: which images a refresh would choose, task by task, and what they would cost."""

from __future__ import annotations

from prefect import flow, unmapped

from presel.config import RefreshConfig
from presel.runs.run_record import RunRecord
from tasks.api import instruct
from tasks.approval import await_reference
from tasks.cpu import (
    assemble,
    check_pool,
    choose_basis,
    cluster,
    draw_reference,
    import_vectors,
    ingest,
    plan_budget,
    rank,
    recall,
)
from tasks.gpu import calibrate, embed_part, fit_reference_model, score_relevance
from tasks.policy import FLOW
from tasks.show import price_reference, show_plan


@flow(name="plan", flow_run_name="plan {config.dataset.name}", **FLOW)
def plan(config: RefreshConfig) -> RunRecord:
    """Everything up to the budget decision. The only money it spends is for the reference set."""
    source, images, seed = config.source, config.encoder.images, config.seed
    # What is there, what does it look like, and which images stand together?
    catalog = ingest(source, config.store)
    embeddings = embed_part.map(catalog.split(), unmapped(source), unmapped(config.encoder)).result()
    # What a model will be tested on must not be among it.
    shown = import_vectors.map(config.test_vectors, unmapped(config.store)).result()
    listed = [(tests, ingest(tests, config.store)) for tests in config.tests]
    shown += [embed_part(part, tests, config.encoder) for tests, found in listed for part in found.split()]
    samples = assemble(catalog, embeddings, shown, config.exclude_above)
    check_pool(catalog, embeddings, samples, config)
    clusters = cluster.map(samples.split(), unmapped(config.clustering), unmapped(seed))
    # How much does each task gain from instructions? Pay for a small sample and ask a model.
    reference = draw_reference.map(samples.split(), unmapped(config.reference), unmapped(seed)).result()
    await_reference(price_reference(reference, catalog, samples, config), config)
    instructed = instruct.map(
        reference, unmapped(source), unmapped(config.generator), unmapped(images), unmapped(catalog)
    ).result()
    basis = choose_basis(instructed, config)
    model = fit_reference_model(basis.split(), source, images, config.reference_model, seed)
    relevance = score_relevance.map(
        basis.split(), unmapped(model), unmapped(source), unmapped(images), unmapped(config.scoring)
    ).result()
    # What is paid for already? In which order would each task be picked, and how far down does its budget reach?
    paid = recall(samples, config, basis.kept)
    guard = calibrate(samples, source, config.encoder, config.selection, seed)
    rankings = rank.map(
        samples.split(), clusters, instructed, paid.split(), unmapped(config.selection), unmapped(seed), unmapped(guard)
    ).result()
    budget = plan_budget(samples, rankings, instructed, relevance, config.weights, config.budget, seed)
    record = RunRecord(
        config=config, catalog=catalog, embeddings=embeddings, samples=samples, clusters=clusters.result(),
        reference=reference, reference_instructions=instructed, model=model, relevance=relevance,
        rankings=rankings, plan=budget, history=paid, basis=basis.kept, apart=shown, guard=guard,
    )  # fmt: skip
    show_plan(record)
    return record
