"""Weights from a judge's yes or no: what is asked, how sure it was, and that it is paid like everything else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from presel.config import ImageConfig, ReferenceModelConfig, VerdictConfig
from presel.demo.endpoint import looks, serve
from presel.demo.endpoint.http import Incoming, Reply, reply
from presel.errors import BudgetExceeded, EndpointRefused
from presel.instruct.completion import choice_of
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.purse import spending
from presel.instruct.verdict import counted, read_off
from presel.selection.relevance import relevance
from presel.stages.fit import fit_reference_model
from presel.stages.score import score_relevance
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.instruct.pools import KEY_VARIABLE, PRICES, Pool, generator, reasons, rows


def judged(pool: Pool, url: str, instructions: TableRef, **settings: Any) -> TableRef:
    how = {"model": "judge", "api_key_env": KEY_VARIABLE, "prices": PRICES, "max_cost": 1.0, "image_side": 64}
    config = ReferenceModelConfig(verdict=VerdictConfig(base_url=url, **{**how, **settings}))

    model = fit_reference_model([instructions], pool.source, ImageConfig(), config, 0)
    return score_relevance(instructions, model, pool.source, ImageConfig(), config)


def answered(*tokens: tuple[str, Any], said: str = "Yes") -> Answer:
    top = [{"token": token, "logprob": logarithm} for token, logarithm in tokens]
    first = {"token": said, "logprob": dict(tokens).get(said, -0.1), "top_logprobs": top}
    choice = {"message": {"content": said}, "finish_reason": "length", "logprobs": {"content": [first]}}
    return Answer("k", {}, 200, {"choices": [choice]}, 1, 1, 0.0, True, 0, "")


def test_every_reference_sample_costs_two_requests_once_and_has_a_ratio_of_two_losses(pool: Pool) -> None:
    with serve(looks) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=6)
        before = endpoint.counts.total
        scores = judged(pool, endpoint.url, instructions)
        assert (scores.rows, endpoint.counts.total - before) == (6, 12)
        for manifest in (pool.root / "store" / "tables" / "score").glob("*/manifest.json"):
            manifest.unlink()
        assert judged(pool, endpoint.url, instructions).digest == scores.digest
        assert endpoint.counts.total - before == 12
    for row in rows(scores):
        first, second = row["loss_with_question"], row["loss_without_question"]
        assert 0.85 <= math.exp(-first) <= 0.99
        assert 0.3 <= math.exp(-second) <= 0.99
        assert row["irs"] == relevance(first, second, ReferenceModelConfig().loss_floor)


def test_a_server_without_log_probabilities_is_told_of_in_words_after_one_sample(pool: Pool) -> None:
    with serve(looks, logprobs=False) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=6)
        before = endpoint.counts.total
        with pytest.raises(EndpointRefused, match=r"no log-probabilities.*votes"):
            judged(pool, endpoint.url, instructions)
        assert endpoint.counts.total - before == 1
        scores = judged(pool, endpoint.url, instructions, votes=5)
        assert (scores.rows, endpoint.counts.total - before) == (6, 1 + 6 * 2 * 5)
    shares = {round(6 * math.exp(-row["loss_with_question"]), 3) for row in rows(scores)}
    assert shares <= {0.5, 1.5, 2.5, 3.5, 4.5, 5.5}


def test_a_server_that_refuses_the_parameter_is_told_of_in_words(pool: Pool) -> None:
    def refuses(incoming: Incoming) -> Reply | None:
        said = {"error": {"message": "'logprobs' is not supported with this model", "param": "logprobs"}}
        return reply(400, said) if b'"logprobs"' in incoming.body else None

    with serve(looks, refuses=refuses) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=3)
        with pytest.raises(EndpointRefused, match="no log-probabilities"):
            judged(pool, endpoint.url, instructions)


def test_the_cap_holds_for_verdicts(pool: Pool) -> None:
    with serve(looks) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=6)
        spent = spending(open_store(pool.store))["spent_usd"]
        with pytest.raises(BudgetExceeded):
            judged(pool, endpoint.url, instructions, max_cost=spent + 0.0004)
        assert spending(open_store(pool.store))["spent_usd"] <= spent + 0.0004


def test_a_picture_that_is_gone_is_a_reject(pool: Pool) -> None:
    with serve(looks) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=4)
        pool.file(1).unlink()
        scores = judged(pool, endpoint.url, instructions)
    assert (scores.rows, reasons(scores)) == (3, ["unreadable"])


def test_what_is_sure_is_read_from_all_spellings_of_both_words() -> None:
    found = read_off(answered(("Yes", math.log(0.5)), (" yes", math.log(0.2)), ("NO", math.log(0.1)), ("Maybe", -9.0)))
    assert found == pytest.approx(0.7 / 0.8)
    alone = read_off(answered(("Yes", math.log(0.9)), ("The", math.log(0.04))))
    assert alone == pytest.approx(0.9 / 0.94)  # no "no" was shown: it has at most what the least of them has


@pytest.mark.parametrize(
    "wrong", [[], [("Perhaps", -0.1)], [("Yes", float("nan"))], [("Yes", "0")], [("Yes", 5.0)], [("Yes", None)]]
)
def test_what_is_no_verdict_is_none(wrong: list[tuple[str, Any]]) -> None:
    answer = answered(*wrong, said="Perhaps")
    found = read_off(answer)
    assert found is None or 0.0 < found < 1.0
    choice_of(answer.body)["logprobs"]["content"] = [None, 3, {"top_logprobs": {"Yes": 1}}]  # type: ignore[index]
    assert read_off(answer) is None


def test_votes_are_counted_with_half_a_vote_for_either_side() -> None:
    assert counted(["Yes.", "**no**", "yes, since it shows it", "", "I think so"]) == pytest.approx(2.5 / 4)
    assert counted(["", "perhaps"]) is None


def test_a_judge_that_says_neither_gives_no_score_and_no_traceback(pool: Pool) -> None:
    with serve(looks) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=2)
    mute = {"choices": [{"message": {"content": "Perhaps"}, "finish_reason": "stop", "logprobs": {"content": [{}]}}]}
    with serve(
        looks, refuses=lambda _: reply(200, {**mute, "usage": {"prompt_tokens": 9, "completion_tokens": 1}})
    ) as endpoint:
        scores = judged(pool, endpoint.url, instructions)
    assert (scores.rows, reasons(scores)) == (0, ["no_verdict"] * 2)


def test_two_origins_of_losses_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        ReferenceModelConfig(verdict=VerdictConfig(model="m"), precomputed="x.csv")
    assert ReferenceModelConfig(verdict=VerdictConfig(model="m")).fit == "none"


def test_verdicts_are_answers_in_the_ledger(pool: Pool) -> None:
    with serve(looks) as endpoint:
        instructions = pool.instruct(generator(endpoint.url), picked=2)
        judged(pool, endpoint.url, instructions)
    kept = [answer for answer in Ledger(open_store(pool.store)).answers() if answer.request["model"] == "judge"]
    assert len(kept) == 4
    assert np.isfinite([answer.cost_usd for answer in kept]).all()
    assert table_store.facts(instructions)["requests"] == 2
