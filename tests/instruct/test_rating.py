"""`judge: rate`: ratings for each turn, paid once, in the records and their exports, and nothing rejected for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from presel.config import ExportConfig, PromptConfig, RefreshConfig
from presel.dataset import versions
from presel.demo.endpoint import looks, serve
from presel.errors import ConfigError
from presel.export import export_version
from presel.instruct.questions.rating import SCHEMA, rate, too_bad
from presel.instruct.questions.request import Request
from presel.storage import open_store
from presel.tables import ratings, table_store
from presel.tables.schemas import DatasetRef
from presel.tables.turn import Turn
from tests.instruct.pools import KEY_VARIABLE, PRICES, Pool, generator, reasons
from tests.instruct.test_killed import ADDRESS, refresh_of
from tests.instruct.test_parsing import OPENING, answer
from tests.refresh.straight import straight

TURNS = [Turn("What is it?", "A dog."), Turn("How large?", "Small.")]
RATED = PromptConfig(judge="rate", turns=2)


def said(*turns: Any) -> Any:
    return answer(json.dumps({"ratings": list(turns)}))


def one(value: object = 4, **others: object) -> dict[str, object]:
    return {**dict.fromkeys(ratings.RESPECTS, value), **others}


def test_a_rater_sees_picture_and_turns_and_what_it_mumbles_is_asked_again_once() -> None:
    asked = rate(OPENING, TURNS, [])
    assert isinstance(asked, Request)
    assert asked.schema == SCHEMA
    assert "visual_dependency" in asked.messages[0]["content"]
    assert rate(OPENING, TURNS, [said(one(), one(5.0))]) == (one(), one(5))
    assert rate(OPENING, TURNS, [said(one(), one(), one(1))]) == (one(), one())
    assert isinstance(rate(OPENING, TURNS, [said(one())]), Request)
    assert rate(OPENING, TURNS, [said(one()), said(one(), one())]) == (one(), one())


@pytest.mark.parametrize("wrong", [0, 6, 3.5, "4", None, True, [4], float("nan"), 10**400])
def test_what_is_no_rating_from_one_to_five_is_none_at_all(wrong: object) -> None:
    broken = answer(json.dumps({"ratings": [one(), one(4, formatting=wrong)]}))
    assert isinstance(rate(OPENING, TURNS, [broken]), Request)
    assert rate(OPENING, TURNS, [broken, broken]) == ()
    assert rate(OPENING, TURNS, [answer(status=400)]) == ()


def test_only_what_is_asked_for_is_refused() -> None:
    rated = (one(5), one(4, visual_dependency=2))
    assert too_bad(rated, None) is None  # type: ignore[arg-type]
    assert too_bad(rated, 2) is None  # type: ignore[arg-type]
    problem = too_bad(rated, 3)  # type: ignore[arg-type]
    assert problem is not None
    assert (problem.reason, problem.detail) == ("judged_unfit", "visual_dependency is rated 2, below 3")
    assert too_bad((), 5) is None


def test_ratings_are_paid_once_and_lie_beside_the_table_that_they_leave_as_it_is(pool: Pool) -> None:
    with serve(looks, faults={"unfit": 0.4}, seed=1) as endpoint:
        plain = pool.instruct(generator(endpoint.url, prompt=PromptConfig(turns=2)), picked=6)
        asked = endpoint.counts.total
        ref = pool.instruct(generator(endpoint.url, prompt=RATED), picked=6)
        assert endpoint.counts.total == asked + 6  # the answers were there
        pool.forget_tables()
        assert pool.instruct(generator(endpoint.url, prompt=RATED), picked=6).digest == ref.digest
        assert endpoint.counts.total == asked + 6
    assert table_store.read(ref).drop_columns(_MONEY) == table_store.read(plain).drop_columns(_MONEY)
    rows = ratings.of(ref).to_pylist()
    assert (len(rows), ref.rejects, ratings.of(plain).num_rows) == (6, 0, 0)
    assert {row["visual_dependency_min"] for row in rows} > {1}
    assert all(row["formatting_min"] == min(row["formatting_ratings"]) for row in rows)
    assert {len(row["relevance_ratings"]) for row in rows} == {2}


_MONEY = ["input_tokens", "output_tokens", "cost_usd"]


def test_reject_below_hands_the_seat_on(pool: Pool) -> None:
    with serve(looks, faults={"unfit": 0.4}, seed=1) as endpoint:
        ref = pool.instruct(generator(endpoint.url, prompt=RATED.model_copy(update={"reject_below": 2})), picked=3)
    assert (ref.rows, set(reasons(ref))) == (3, {"judged_unfit"})
    assert min(row["visual_dependency_min"] for row in ratings.of(ref).to_pylist()) > 1


def test_reject_below_without_ratings_is_refused() -> None:
    with pytest.raises(ValueError, match="judge: rate"):
        PromptConfig(reject_below=3, judge="It is true.")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[RefreshConfig, DatasetRef]:
    """A version of which some records show pictures that nobody needed."""
    root = tmp_path_factory.mktemp("rated")
    Pool(root, 24)
    with pytest.MonkeyPatch.context() as patch, serve(looks, faults={"unfit": 0.4}, seed=1) as endpoint:
        patch.setenv(KEY_VARIABLE, "k")
        patch.setenv(ADDRESS, endpoint.url)
        plain = refresh_of(root, "store")
        config = plain.model_copy(
            update={"generator": plain.generator.model_copy(update={"prompt": RATED, "prices": PRICES})}
        )
        made = straight(config).dataset
    assert made is not None
    return config, made


def exported(published: tuple[RefreshConfig, DatasetRef], to: Path, **how: Any) -> list[dict[str, Any]]:
    config, dataset = published
    export_version(dataset, config.model_copy(update={"export": ExportConfig(to=str(to), **how)}))
    return [row for file in sorted((to / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_records_and_exports_carry_ratings_and_an_export_leaves_out_what_needs_no_picture(
    published: tuple[RefreshConfig, DatasetRef], tmp_path: Path
) -> None:
    _, dataset = published
    with versions.opened(dataset, "data.parquet") as data:
        records = pq.read_table(data).to_pylist()
    needed = {row["sample_id"] for row in records if row["visual_dependency_min"] >= 3}
    assert 0 < len(needed) < len(records)
    whole, some = (exported(published, tmp_path / name, **how) for name, how in _EXPORTS.items())
    assert {row["id"] for row in whole} == {row["sample_id"] for row in records}
    assert {row["id"] for row in some} == needed
    of = {row["sample_id"]: row for row in records}
    assert all(row[name] == of[row["id"]][name] for row in whole for name, _ in ratings.FIELDS)


_EXPORTS: dict[str, dict[str, Any]] = {"whole": {}, "some": {"min_visual_dependency": 3}}


def test_a_threshold_for_a_version_that_nobody_rated_or_that_nothing_reaches_is_said_in_words(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(looks) as endpoint:
        monkeypatch.setenv(ADDRESS, endpoint.url)
        config = refresh_of(pool.root, "store")
        dataset = straight(config).dataset
    assert dataset is not None
    with pytest.raises(ConfigError, match="nobody has rated"):
        exported((config, dataset), tmp_path / "out", min_visual_dependency=3)
    assert not list(open_store(str(tmp_path / "out")).list("data/"))
