from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel

from presel.config import LoraConfig
from presel.errors import ModelError
from presel.reference_model import load, lora, score
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import prepared, samples

CONFIG = LoraConfig(rank=4, alpha=8)


@pytest.fixture(scope="module")
def attached():
    """The tiny model with an adapter that does something."""
    model = load(BUILTIN)
    lora.attach(model, CONFIG, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in lora.trained(model).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    model.model.eval()
    return model


@pytest.fixture(scope="module")
def files(attached):
    return lora.export(attached, "builtin")


def test_the_vision_tower_is_frozen_and_the_projector_is_not(attached):
    names = list(lora.trained(attached))
    assert not [name for name in names if "vision" in name]
    assert [name for name in names if "multi_modal_projector" in name]
    assert [name for name in names if "lora_" in name and "language_model" in name]


def test_without_a_projector_rate_the_projector_is_frozen():
    model = load(BUILTIN)
    lora.attach(model, LoraConfig(rank=4, alpha=8, projector_learning_rate=0), seed=0)
    assert all("lora_" in name for name in lora.trained(model))


def test_a_fresh_adapter_changes_nothing_and_depends_on_its_seed(builtin, tmp_path):
    ready = prepared(tmp_path, samples(tmp_path, ["colour"], 2), builtin.processor)
    model, weights = load(BUILTIN), []
    for seed in (0, 0, 1):
        fresh = load(BUILTIN)
        lora.attach(fresh, CONFIG, seed)
        weights.append(lora.export(fresh, "builtin")[lora.WEIGHTS])
    assert weights[0] == weights[1] != weights[2]
    lora.attach(model, CONFIG, 0)
    model.model.eval()
    for one, other in zip(score(model, ready, 2), score(builtin, ready, 2), strict=True):
        assert one[2:] == pytest.approx(other[2:], abs=1e-5)


def test_a_loaded_adapter_scores_as_the_fitted_model_does(attached, builtin, files, tmp_path):
    ready = prepared(tmp_path, samples(tmp_path, ["colour", "scene"], 2), builtin.processor)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    expected = {losses.id: losses[2:] for losses in score(attached, ready, 4)}
    for given in (files, tmp_path):
        for losses in score(load(BUILTIN, given), ready, 4):
            assert losses[2:] == pytest.approx(expected[losses.id], abs=1e-4)
    plain = {losses.id: losses[2:] for losses in score(builtin, ready, 4)}
    assert any(abs(plain[name][0] - expected[name][0]) > 1e-2 for name in plain)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_peft_itself_loads_the_files(attached, builtin, files, tmp_path):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    peft_model = PeftModel.from_pretrained(load(BUILTIN).model, tmp_path)
    ids = torch.tensor([[1, 5, 9, 12]])
    with torch.no_grad():
        assert torch.allclose(peft_model(input_ids=ids).logits, attached.model(input_ids=ids).logits, atol=1e-4)


def test_the_settings_name_the_base_and_no_folder_of_this_machine(files):
    settings = json.loads(files[lora.SETTINGS])
    assert settings["base_model_name_or_path"] == "builtin"
    assert settings["target_modules"] == sorted(settings["target_modules"])


def test_an_adapter_of_another_model_is_refused(files):
    settings = json.loads(files[lora.SETTINGS])
    wrong = {**files, lora.SETTINGS: json.dumps({**settings, "r": 8}).encode()}
    with pytest.raises(ModelError, match="does not fit"):
        load(BUILTIN, wrong)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not an adapter"):
        load(BUILTIN, tmp_path)
