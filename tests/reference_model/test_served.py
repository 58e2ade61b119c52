"""IRS through a server: the double computes real log-probabilities with plain transformers; see prompt_server.py."""

from __future__ import annotations

import pytest
import torch

from presel.config import ImageConfig, ReferenceModelConfig, ServedConfig, SourceConfig
from presel.dataset.settings import portable
from presel.demo.lvlm import base_folder
from presel.demo.setting import demo_config
from presel.errors import ConfigError, EndpointRefused, EndpointUnavailable, ModelError
from presel.reference_model import Turn, load, served
from presel.stages.fit import fit_reference_model
from presel.stages.score import score_relevance
from presel.tables import table_store
from presel.tables.schemas import RELEVANCE, rows_of
from tests.reference_model.architectures import save_tiny_qwen
from tests.reference_model.drawn import instructions, samples
from tests.reference_model.prompt_server import serving

IMAGES = ImageConfig()
LOCAL = ReferenceModelConfig(model="builtin", max_length=512, device="cpu", fit="none")


@pytest.fixture(scope="module")
def server():
    with serving(str(base_folder())) as running:
        yield running


@pytest.fixture(autouse=True)
def honest(server, monkeypatch):
    server.change, server.refuse = lambda answer: answer, None
    server.requests.clear()
    monkeypatch.setattr(served, "RETRIES", 0)


def through(server, **changes) -> ReferenceModelConfig:
    place = ServedConfig(base_url=server.url, model="tiny", api_key_env="TINY_KEY", concurrency=3)
    return ReferenceModelConfig(**{"model": "builtin", "max_length": 512, "served": place, **changes})


def scored(folder, made, config):
    refs = instructions(folder / "store", made)
    source = SourceConfig(uri=str(folder / "pool"))
    model = fit_reference_model(refs, source, IMAGES, config, 0)
    return score_relevance(refs[0], model, source, IMAGES, config)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return folder, samples(folder / "pool", ["scene"], 4, turns=2)


def assert_same(one, other, within=1e-4):
    assert [row["sample_id"] for row in one] == [row["sample_id"] for row in other]
    for a, b in zip(one, other, strict=True):
        assert a["response_tokens"] == b["response_tokens"]
        for name in ("loss_with_question", "loss_without_question"):
            assert a[name] == pytest.approx(b[name], abs=within)


@pytest.mark.parametrize("turns", ["masked", "joined"])
def test_a_served_model_gives_the_losses_of_the_same_model_here(server, made, turns):
    ref = scored(*made, through(server, turns=turns))
    assert table_store.read(ref).schema == RELEVANCE
    assert ref.rows == 4
    local = scored(*made, LOCAL.model_copy(update={"turns": turns}))
    assert_same(rows_of(table_store.read(ref)), rows_of(table_store.read(local)))
    assert len(server.requests) == 8  # two a sample


def test_a_server_in_bfloat16_gives_them_within_its_rounding(made):
    with serving(str(base_folder()), torch.bfloat16) as server:
        ref = scored(*made, through(server, max_length=500))
    local = rows_of(table_store.read(scored(*made, LOCAL)))
    assert_same(rows_of(table_store.read(ref)), local, within=2e-2)
    with pytest.raises(AssertionError):
        assert_same(rows_of(table_store.read(ref)), local)


def test_nothing_is_fitted_and_the_addresss_variable_is_expanded(server, made, monkeypatch):
    monkeypatch.setenv("TINY_SERVER", server.url)
    config = through(server)
    config = config.model_copy(
        update={"served": config.served.model_copy(update={"base_url": "${TINY_SERVER}"}), "max_length": 500}
    )
    assert scored(*made, config).rows == 4
    monkeypatch.delenv("TINY_SERVER")
    with pytest.raises(ConfigError, match="not set"):
        scored(*made, config.model_copy(update={"max_length": 501}))


def test_the_key_comes_from_the_environment(server, made, monkeypatch):
    monkeypatch.setenv("TINY_KEY", "a-word")
    scored(*made, through(server, max_length=499))
    assert server.keys[-1] == "Bearer a-word"


def test_another_architecture_is_aligned_by_its_tokens_too(tmp_path):
    folder = save_tiny_qwen(tmp_path / "qwen")
    made = samples(tmp_path / "pool", ["colour"], 3)
    with serving(folder) as server:
        ref = scored(tmp_path, made, through(server, model=folder))
    local = scored(tmp_path, made, LOCAL.model_copy(update={"model": folder}))
    assert ref.rows == 3
    assert_same(rows_of(table_store.read(ref)), rows_of(table_store.read(local)))


def test_a_server_that_does_not_send_token_ids_is_understood(server, made):
    def without_ids(answer):
        answer.pop("prompt_token_ids")
        return answer

    server.change = without_ids
    found = rows_of(table_store.read(scored(*made, through(server, max_length=498))))
    assert_same(found, rows_of(table_store.read(scored(*made, LOCAL))))


def test_a_server_without_prompt_logprobs_is_refused_with_what_to_do(server, made):
    server.change = lambda answer: answer | {"prompt_logprobs": None}
    with pytest.raises(EndpointRefused, match=r"no log-probabilities of the prompt.*vLLM"):
        scored(*made, through(server, max_length=497))


@pytest.mark.parametrize(
    ("status", "message", "error", "said"),
    [
        (400, "prompt_logprobs is not supported", EndpointRefused, "vLLM"),
        (401, "no such key", EndpointRefused, "TINY_KEY"),
        (404, "no such model", EndpointRefused, "base_url"),
        (503, "loading", EndpointUnavailable, "503"),
    ],
)
def test_what_a_server_refuses_says_what_to_do(server, made, status, message, error, said):
    server.refuse = status, message
    with pytest.raises(error, match=said):
        scored(*made, through(server, max_length=496))


def test_a_server_that_is_not_there_may_be_tried_again(made, server):
    config = through(server, max_length=495)
    away = config.served.model_copy(update={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(EndpointUnavailable, match="does not answer"):
        scored(*made, config.model_copy(update={"served": away}))


def test_a_server_with_another_template_is_not_believed(server, made):
    def other_end(answer):
        answer["prompt_token_ids"][-1] += 1
        return answer

    server.change = other_end
    with pytest.raises(ModelError, match="other tokens"):
        scored(*made, through(server, max_length=494))


def test_what_cannot_be_scored_is_a_reject_and_an_infinite_loss_too(server, tmp_path):
    gone, odd, bad, fine = samples(tmp_path / "pool", ["colour"], 4)
    (tmp_path / "pool" / gone.key).unlink()
    bad = bad._replace(turns=(Turn("What is this?", "An </s> of sorts."),))
    odd = odd._replace(turns=(Turn("zebra", odd.turns[0].response),))

    def impossible(answer):
        if "zebra" in str(server.requests[-1]["messages"]):
            for entry in filter(None, answer["prompt_logprobs"]):
                next(iter(entry.values()))["logprob"] = -9999.0
        return answer

    server.change = impossible
    one_by_one = through(server)
    one_by_one = one_by_one.model_copy(update={"served": one_by_one.served.model_copy(update={"concurrency": 1})})
    ref = scored(tmp_path, [gone, odd, bad, fine], one_by_one)
    assert [row["sample_id"] for row in rows_of(table_store.read(ref))] == [fine.id]
    found = {row["id"]: row["reason"] for row in rows_of(table_store.rejects(ref))}
    assert found == {gone.id: "unreadable", odd.id: "loss_not_finite", bad.id: "control_token"}


def test_served_and_fitted_exclude_each_other(server):
    with pytest.raises(ValueError, match="nothing is fitted here"):
        through(server, fit="lora")
    config = through(server)
    assert config.fit == "none"
    assert ReferenceModelConfig.model_validate_json(config.model_dump_json()) == config


def test_the_servers_address_is_not_published(server):
    config = demo_config("pool", "store").model_copy(update={"reference_model": through(server)})
    assert portable(config)["reference_model"]["served"] == {"model": "tiny"}


def test_no_weights_are_read_for_a_served_model(server, made, monkeypatch):
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", None)
    assert scored(*made, through(server, max_length=493)).rows == 4
    with pytest.raises(TypeError):
        load(LOCAL)
