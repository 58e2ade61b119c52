"""Stages that need processors and the store."""

from __future__ import annotations

from datetime import timedelta

from presel.runs.housekeeping import gc, verify
from presel.stages import assemble as assembling
from presel.stages import basis as basing
from presel.stages import cluster as clustering
from presel.stages import import_vectors as importing
from presel.stages import ingest as ingestion
from presel.stages import plan as planning
from presel.stages import rank as ranking
from presel.stages import recall as recalling
from presel.stages import reference as referencing
from presel.stages import report as reporting
from presel.stages import select as selecting
from presel.stages import shrinkage
from tasks.policy import Policy
from tasks.publishing import _publish
from tasks.resources import Resource

CPU = Policy(Resource.CPU, retries=2, delays=(2, 10), timeout=timedelta(hours=12))

ingest = CPU.plain_task(ingestion.ingest, "ingest")
import_vectors = CPU.plain_task(importing.import_vectors, "vectors of tests")
assemble = CPU.stage_task(assembling.assemble, "assemble {catalog.label}")
recall = CPU.plain_task(recalling.recall, "history")
check_pool = CPU.plain_task(shrinkage.check_pool, "check pool")
draw_reference = CPU.stage_task(referencing.draw_reference, "reference {samples.label}")
choose_basis = CPU.plain_task(basing.choose_basis, "basis of the weights")
cluster = CPU.stage_task(clustering.cluster, "cluster {samples.label}")
rank = CPU.stage_task(ranking.rank, "rank {samples.label}")
plan_budget = CPU.stage_task(planning.plan_budget, "plan")
select = CPU.stage_task(selecting.select, "select {ranking.label}")
publish = CPU.plain_task(_publish, "publish")
build_report = CPU.plain_task(reporting.build_report, "report")

collect_garbage = CPU.plain_task(gc.collect, "collect garbage")
verify_latest = CPU.plain_task(verify.verify_latest, "verify")
