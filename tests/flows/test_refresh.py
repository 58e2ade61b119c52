"""The main job, whole: the same flow that production runs, on a small drawn pool with all its salt."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from flows.refresh import refresh
from presel.cli.facts import facts
from presel.cli.prefect_run import Finished
from presel.demo.salt import SALT
from presel.demo.setting import Setting, staged
from presel.runs import budget_curve, explain_image, run_record
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from presel.storage import open_store
from presel.tables import table_store
from tasks.results import results_in

IMAGES = 330


class Run(NamedTuple):
    record: RunRecord
    requests: int
    states: dict[str, str]


def run(setting: Setting) -> Run:
    before, store = setting.requests(), setting.config.store
    state = refresh.with_options(result_storage=results_in(store))(setting.config, return_state=True)
    state.result()
    record = run_record.latest(store, setting.config.dataset.name)
    return Run(record, setting.requests() - before, task_states(state.state_details.flow_run_id))


def task_states(flow_run_id, seconds: float = 90) -> dict[str, str]:
    """Task run name -> state name, of the flow run and of the plan inside it, once the server has recorded them all."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId

    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        inner = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
        )
        ids = FlowRunFilterId(any_=[flow_run_id, *(found.id for found in inner)])
        while True:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=ids), limit=200)
            states = {found.name: found.state for found in runs}
            recorded = "show results" in states and all(state and state.is_final() for state in states.values())
            if recorded or time.monotonic() > deadline:
                return {name: state.name if state else "none" for name, state in states.items()}
            time.sleep(0.5)  # task runs are recorded from events, a little after they happened


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def setting(folder):
    with staged(folder, images=IMAGES) as setting:
        yield setting


@pytest.fixture(scope="module")
def first(setting) -> Run:
    return run(setting)


@pytest.fixture(scope="module")
def second(setting, first) -> Run:
    return run(setting)


def test_the_quotas_add_up_to_the_budget_exactly_and_every_seat_is_filled(first):
    rows = Summary(first.record).task_rows()
    usable = sum(row["usable"] for row in rows)
    assert sum(row["reference"] + row["quota"] for row in rows) == int(0.15 * usable)
    assert all(row["picked"] == row["quota"] for row in rows)
    assert first.record.dataset.records == int(0.15 * usable)


def test_every_broken_file_of_the_pool_is_a_reject_with_its_reason(first):
    rejects = {row["key"]: row["reason"] for row in Summary(first.record).rejects}
    expected = {grain.key: grain.reason for grain in SALT if grain.reason is not None}
    assert {key: rejects.get(key) for key in expected} == expected


def test_the_plan_says_what_other_budgets_would_cost_and_cover(first):
    points = budget_curve.read(first.record.plan)
    rows = Summary(first.record).task_rows()
    usable, reference = sum(row["usable"] for row in rows), sum(row["reference"] for row in rows)
    assert [point["share"] for point in points] == list(budget_curve.BUDGETS)
    assert all(point["records"] <= max(reference, int(point["share"] * usable + 1e-9)) for point in points)
    assert [point["coverage"] for point in points] == sorted(point["coverage"] for point in points)
    assert [point["price_usd"] for point in points] == sorted(point["price_usd"] for point in points)
    assert points[-1]["coverage"] > points[0]["coverage"]
    chosen = next(point for point in points if point["share"] == 0.15)
    assert chosen["records"] == sum(row["reference"] + row["quota"] for row in rows)


def test_a_run_ends_with_the_same_five_facts(first):
    made = first.record.dataset
    told = facts(Finished(first.record, 0.01, 75.0, "run", None), Summary(first.record), Path("here/presel.yaml"))
    assert list(told) == ["Version", "Changed", "Cost", "Refused", "Next"]
    assert told["Version"][0].startswith(f"{made.version} of demo: {made.records} records in ")
    assert told["Changed"][0] == f"{made.records} added, 0 changed, 0 kept, 0 dropped: the first version"
    assert "This run paid $0.0100" in told["Cost"][0]
    assert "near_duplicate" in told["Refused"][0]
    assert told["Next"][-2].endswith("export --to FOLDER -c here/presel.yaml")
    again = facts(Finished(first.record, 0.0, 75.0, "run", made.version), Summary(first.record))
    assert again["Version"][0].startswith(f"{made.version} of demo, as before")
    assert again["Changed"][0] == "nothing: pool and settings are what they were"


def test_any_budget_is_divided_as_the_plan_divides_its_own(first):
    plan, record = [row for row in Summary(first.record).task_rows() if row["usable"]], first.record
    told = budget_curve.of_plan(record.rankings, plan, record.samples.rows, budget_curve.BUDGETS)
    for point, read in zip(told, budget_curve.read(record.plan), strict=True):
        assert (point.records, point.coverage) == (read["records"], pytest.approx(read["coverage"]))
    [own] = budget_curve.of_plan(record.rankings, plan, record.samples.rows, [record.config.budget.share])
    assert own.quotas == {row["task"]: row["quota"] for row in plan}


def test_no_usable_image_is_lost(first):
    rows = Summary(first.record).task_rows()
    assert sum(row["images"] for row in rows) >= IMAGES
    usable = {key for ref in first.record.samples.split() for key in table_store.read(ref, ["key"])["key"].to_pylist()}
    assert {grain.key for grain in SALT if grain.reason is None} <= usable


def test_the_reference_set_is_not_chosen_again(first):
    reference = {i for ref in first.record.reference_instructions for i in _ids(ref)}
    chosen = {i for ref in first.record.instructions for i in _ids(ref)}
    assert reference
    assert chosen
    assert not reference & chosen


def test_a_second_run_finds_every_stage_cached_and_buys_nothing(first, second):
    assert second.requests == 0
    worked = {name: state for name, state in second.states.items() if state != "Cached"}
    looking = {"ingest", "basis of the weights", "history", "publish", "report"}
    looking |= {"check pool", "export", "price reference set", "show plan", "show results"}
    assert set(worked) == looking
    assert second.record.dataset == first.record.dataset


def test_the_tests_of_refreshes_run_the_same_stages_in_the_same_order(setting, second):
    from tests.refresh.straight import straight

    before = {entry.path for entry in open_store(setting.config.store).list("tables/")}
    record = straight(setting.config)
    assert [ref.key for ref in record.tables()] == [ref.key for ref in second.record.tables() if ref.stage != "report"]
    assert {entry.path for entry in open_store(setting.config.store).list("tables/")} == before
    run_record.save(second.record)


def test_the_run_can_be_seen_in_the_ui(first):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        keys = [f"demo-{name}" for name in ("board", "plan", "result", "gallery", "rejects", "outputs")]
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)), limit=50)
    assert {artifact.key for artifact in found} == set(keys)
    assert all(len(str(artifact.data)) < 200_000 for artifact in found)


def test_an_image_can_be_explained_whatever_became_of_it(first):
    record = first.record
    picked = table_store.read(record.instructions[0])["key"][0].as_py()
    assert explain_image.explain(record, picked).verdict.startswith("picked: number")
    passed_over = table_store.read(record.rankings[0])["key"][-1].as_py()
    left_out = explain_image.explain(record, passed_over)
    assert left_out.verdict.startswith("not picked: number")
    assert [one.cosine for one in left_out.instead] == sorted((one.cosine for one in left_out.instead), reverse=True)
    assert all(explain_image.explain(record, one.key).instruction for one in left_out.instead)
    drawn = table_store.read(record.reference_instructions[0])["key"][0].as_py()
    assert explain_image.explain(record, drawn).verdict.startswith("instructed: drawn into the reference set")
    broken = next(grain for grain in SALT if grain.reason == "truncated")
    assert "truncated" in explain_image.explain(record, broken.key).verdict


def test_another_folder_and_another_listing_order_give_the_same_bytes(first, folder, tmp_path):
    """Copied in reverse order with new modification times: same selection, same dataset, byte for byte."""
    files = sorted((folder / "pool").rglob("*"), reverse=True)
    for file in files:
        if file.is_file():
            target = tmp_path / "pool" / file.relative_to(folder / "pool")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    for known in folder.glob("answers-*.json"):
        shutil.copy(known, tmp_path)
    with staged(tmp_path, images=IMAGES) as copied:
        other = run(copied)
    assert [_digest(ref) for ref in other.record.selection] == [_digest(ref) for ref in first.record.selection]
    assert dataset_files(other.record) == dataset_files(first.record)


def dataset_files(record: RunRecord) -> dict[str, str]:
    folder = Path(record.dataset.uri)
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name not in {"manifest.json", "claim.json"}  # when, where, by whom
    }


def _digest(ref) -> str:
    return ref.digest


def _ids(ref) -> list[str]:
    return table_store.read(ref, ["sample_id"])["sample_id"].to_pylist()
