"""Money waits for a person: before the reference set and before the selection, where the configuration says so."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName

from presel.config import ExecutionConfig
from presel.demo.setting import Setting
from presel.errors import ConfigError
from presel.report.ui_pages import reference_markdown
from presel.stages.instruct import instruct
from presel.stages.reference import draw_reference
from tests.flows.started import start, until
from tests.stages.pools import keys, put, run


def waiting() -> UUID | None:
    """The run that waits for somebody."""
    paused = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=paused))
    return found[0].id if found else None


def form_of(run: UUID) -> str:
    """What the person is shown."""
    with get_client(sync_client=True) as client:
        details = client.read_flow_run(run).state.state_details  # type: ignore[union-attr]
        key = details.run_input_keyset["description"]
        return str(client._client.get(f"/flow_runs/{run}/input/{key}").json())


@pytest.mark.skipif(not os.environ.get("PRESEL_SYSTEM"), reason="a run of a minute: `make test-system` has it")
def test_nothing_is_bought_before_its_price_is_approved(setting: Setting, tmp_path: Path) -> None:
    before = setting.requests()
    process = start(setting, tmp_path / "store", approve="all")
    bought = [setting.requests()]
    for asked in ("Pay for the reference set?", "Pay for this plan?"):
        found = until(waiting, process)
        assert asked in form_of(found)
        bought.append(setting.requests())
        with get_client(sync_client=True) as client:
            client.resume_flow_run(found, run_input={"approved_by": "Grace"})
        until(lambda: waiting() is None, process)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-3000:]
    assert bought[1] == before
    assert before < bought[2] < setting.requests()


def test_the_form_names_images_price_and_cap_and_what_is_there_is_not_asked_for(
    setting: Setting, tmp_path: Path
) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("cat", *range(8)), *keys("dog", *range(4)))
    config = setting.config.model_copy(
        update={"store": store, "source": setting.config.source.model_copy(update={"uri": uri})}
    )
    done = run(uri, store)
    reference = [draw_reference(part, config.reference, 0) for part in done.samples.split()]
    missing = instruct.missing(reference, config.source, config.generator, config.encoder.images, done.catalog)
    assert [ref.label for ref in missing] == ["cat", "dog"]
    form = reference_markdown({"cat": 1, "dog": 1}, 0.25, done.samples, config)
    assert "2 images" in form
    assert "at most $0.25" in form
    assert "cap of" in form
    assert "| cat | 1 of 8 |" in form
    instruct(reference[0], config.source, config.generator, config.encoder.images, done.catalog)
    missing = instruct.missing(reference, config.source, config.generator, config.encoder.images, done.catalog)
    assert [ref.label for ref in missing] == ["dog"]


def test_a_run_that_would_wait_where_nobody_can_approve_is_refused(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from presel.cli import prefect_run

    monkeypatch.setattr(prefect_run, "quiet", lambda: None)
    monkeypatch.setattr(prefect_run, "server_address", lambda: None)
    config = setting.config.model_copy(
        update={"store": str(tmp_path / "store"), "execution": ExecutionConfig(approve="all")}
    )
    with pytest.raises(ConfigError, match="needs a Prefect server"):
        prefect_run.run_flow("refresh", config)
    assert not (tmp_path / "store").exists()
