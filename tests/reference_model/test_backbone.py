from __future__ import annotations

import huggingface_hub
import pytest
import torch

from presel.config import ReferenceModelConfig
from presel.errors import ModelError
from presel.reference_model import load
from tests.reference_model.architectures import save_tiny_qwen


def test_a_model_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="copy the checkpoint to a folder") as caught:
        load(ReferenceModelConfig(model="nobody/no-such-model", device="cpu"))
    assert "nobody/no-such-model" in str(caught.value)


def test_a_folder_that_holds_no_model_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(ReferenceModelConfig(model=str(tmp_path), device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_taken_for_a_cpu():
    with pytest.raises(ModelError, match="no GPU"):
        load(ReferenceModelConfig(model="builtin", device="cuda"))


def test_roles_are_found_in_models_of_different_makers(builtin, tmp_path):
    qwen = load(ReferenceModelConfig(model=save_tiny_qwen(tmp_path), device="cpu"))
    assert builtin.projectors() == ["model.multi_modal_projector"]
    assert qwen.projectors() == ["model.visual.merger"]
    for model, layers in ((builtin, 4), (qwen, 2)):
        names = model.language_layers()
        assert len(names) == 7 * layers  # four projections of attention, three of the feed-forward part
        assert all("language_model" in name for name in names)


def test_logits_are_computed_where_asked_and_nowhere_else(builtin):
    ids = torch.randint(10, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = builtin.model(input_ids=ids).logits
        with builtin.logits_at([0, 2, 2], [1, 0, 8]):
            some = builtin.model(input_ids=ids).logits
        again = builtin.model(input_ids=ids).logits
    assert some.shape == (3, whole.shape[-1])
    assert torch.allclose(some, whole[[0, 2, 2], [1, 0, 8]], atol=1e-5)
    assert torch.equal(again, whole)
