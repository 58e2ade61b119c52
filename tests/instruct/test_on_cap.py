"""At the money cap: stop, or publish what is paid for. Nothing is bought twice, nothing incomplete passes for whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from presel.config import BudgetConfig, RefreshConfig
from presel.dataset import versions
from presel.demo.endpoint import looks, serve
from presel.errors import BudgetExceeded
from presel.instruct.money.purse import spending
from presel.storage import open_store
from presel.tables import table_store
from tests.instruct.nursery import ADDRESS
from tests.instruct.pools import BATCH, Pool, generator, picture, reasons
from tests.instruct.test_killed import refresh_of
from tests.refresh.straight import straight

IMAGES = 24
CAP = 0.003
"""A reservation is 0.0022 at first, a bill 0.0001; in a batch, half of each."""


@pytest.mark.parametrize(
    ("mode", "cap"), [({}, CAP), ({"mode": "batch", "batch": BATCH}, CAP / 2)], ids=["live", "batch"]
)
def test_what_is_paid_for_is_a_table_and_a_higher_cap_buys_the_rest_alone(
    mode: dict[str, Any], cap: float, pool: Pool
) -> None:
    def asked() -> int:
        return endpoint.counts.total + endpoint.counts.batched

    with serve(looks) as endpoint:
        partly = pool.instruct(generator(endpoint.url, max_cost=cap, on_cap="publish", **mode), picked=12)
        assert 0 < partly.rows < 12
        assert asked() == partly.rows
        assert reasons(partly) == ["cap_reached"] * (12 - partly.rows)
        assert table_store.facts(partly)["unpaid"] == 12 - partly.rows
        whole = pool.instruct(generator(endpoint.url, on_cap="publish", **mode), picked=12)
        assert (whole.rows, whole.rejects, asked()) == (12, 0, 12)
        again = pool.instruct(generator(endpoint.url, **mode), picked=12)
    assert again == whole  # from now on it is the last word, whatever the cap


def test_nobody_takes_the_seat_of_a_sample_that_only_money_was_missing_for(pool: Pool) -> None:
    with serve(looks) as endpoint:
        ref = pool.instruct(generator(endpoint.url, max_cost=CAP, on_cap="publish"), picked=11)
    assert ref.rows + ref.rejects == 11


def test_the_same_cap_again_gives_the_same_table_and_asks_nothing(pool: Pool) -> None:
    with serve(looks) as endpoint:
        settings = generator(endpoint.url, max_cost=CAP, on_cap="publish", concurrency=1)
        for _ in range(3):  # a reservation that was given back may pay for one more
            before, asked = pool.instruct(settings, picked=12), endpoint.counts.total
        after = pool.instruct(settings, picked=12)
    assert (after.digest, endpoint.counts.total) == (before.digest, asked)


def test_without_asking_for_it_the_run_stops(pool: Pool) -> None:
    with serve(looks) as endpoint, pytest.raises(BudgetExceeded):
        pool.instruct(generator(endpoint.url, max_cost=CAP), picked=12)


def test_a_request_without_an_answer_is_asked_again_by_the_next_run(pool: Pool) -> None:
    with serve(looks, faults={"server_error": 1.0}) as endpoint:
        settings = generator("${PRESEL_TEST_URL}", attempts=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PRESEL_TEST_URL", endpoint.url)
            ref = pool.instruct(settings, picked=2, images=2)
    assert reasons(ref) == ["unavailable"] * 2
    with serve(looks) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pool.instruct(settings, picked=2, images=2).rows == 2


def refresh_of_tasks(root: Path, tasks: int) -> RefreshConfig:
    for i in range(IMAGES):
        folder = root / "pool" / f"task{i % tasks}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:05d}.jpg").write_bytes(picture(i))
    config = refresh_of(root, "store")
    return config.model_copy(update={"generator": config.generator.model_copy(update={"concurrency": 1})})


def capped(config: RefreshConfig, max_cost: float, on_cap: str = "publish") -> RefreshConfig:
    update = {"max_cost": max_cost, "on_cap": on_cap}
    return config.model_copy(update={"generator": config.generator.model_copy(update=update)})


def test_a_version_at_the_cap_says_so_and_the_next_one_is_what_an_unlimited_run_would_have_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = refresh_of_tasks(tmp_path, 3)
    with serve(looks) as endpoint:
        monkeypatch.setenv(ADDRESS, endpoint.url)
        first = straight(capped(refresh, CAP)).dataset
        assert first is not None
        said = json.loads(versions.file(first, "diff.json"))
        card = versions.file(first, "README.md").decode()
        assert 0 < first.records < IMAGES - 1
        assert said["unpaid"] > 0
        assert f"**Not complete.** The money cap was reached: {said['unpaid']} chosen images" in card
        assert spending(open_store(refresh.store))["spent_usd"] <= CAP
        second = straight(capped(refresh, 1.0)).dataset
        assert second is not None
        asked = endpoint.counts.total
        straight(capped(refresh.model_copy(update={"store": refresh.store + "-2"}), 1.0))
        assert endpoint.counts.total - asked == asked  # nothing was bought twice
    assert second.version == first.version + 1
    assert json.loads(versions.file(second, "diff.json"))["unpaid"] == 0
    assert "Not complete" not in versions.file(second, "README.md").decode()
    other = versions.latest(refresh.store + "-2", "killed")
    assert other is not None
    assert versions.file(second, "data.parquet") == versions.file(other, "data.parquet")


def test_a_smaller_budget_publishes_what_is_paid_for_and_buys_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = refresh_of_tasks(tmp_path, 1)
    with serve(looks) as endpoint:
        monkeypatch.setenv(ADDRESS, endpoint.url)
        with pytest.raises(BudgetExceeded, match="on_cap: publish"):
            straight(capped(refresh, CAP, "stop"))
        asked = endpoint.counts.total
        smaller = refresh.model_copy(update={"budget": BudgetConfig(share=0.2)})
        published = straight(capped(smaller, CAP, "stop")).dataset
    assert published is not None
    assert published.records == 4
    assert 4 <= asked < IMAGES - 1
    assert endpoint.counts.total == asked
