"""The demo's tiny LVLM is a real one, and the relevance it measures means something."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from presel.config import ImageConfig, LoraConfig, ReferenceModelConfig, SourceConfig
from presel.demo import lvlm
from presel.demo.drawing.tasks import TASKS, sketch
from presel.demo.make_base import FIRST_INDEX, Recipe, collate, make, row
from presel.reference_model import Preparer, load, lora, plain_losses, score
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import fit
from presel.reference_model.reading import SampleReader
from presel.selection.relevance import relevance
from tests.reference_model.drawn import ALL, prepared, samples

CONFIG = ReferenceModelConfig(model="builtin", max_length=512, device="cpu")
DEMO = LoraConfig(rank=16, alpha=32, learning_rate=2e-3, projector_learning_rate=2e-4, batch=8, question_dropout=0.3)
FLOOR = 0.05
ONE_QUESTION = [task for task, spec in TASKS.items() if spec.question]
SEVERAL = [task for task, spec in TASKS.items() if not spec.question]


@pytest.fixture(scope="module")
def builtin():
    return load(CONFIG)


def test_the_base_is_a_real_llava_of_at_most_ten_megabytes(builtin):
    assert isinstance(builtin.model, LlavaForConditionalGeneration)
    assert isinstance(builtin.processor, LlavaProcessor)
    assert sum(path.stat().st_size for path in lvlm.base_folder().iterdir()) <= 10_000_000
    assert {path.suffix for path in lvlm.base_folder().iterdir()} == {".safetensors", ".json", ".jinja"}


def test_the_recipe_of_the_shipped_base_is_the_scripts():
    record = json.loads((lvlm.base_folder() / "recipe.json").read_text())
    assert {name: record[name] for name in Recipe._fields} == Recipe()._asdict()


def test_the_script_makes_a_base_that_loads(tmp_path):
    make(tmp_path, Recipe(images=24, steps=2, batch=4))
    model = load(CONFIG.model_copy(update={"model": str(tmp_path)}))
    ready = prepared(tmp_path, samples(tmp_path, ["colour"], 1), model.processor)
    assert all(np.isfinite(plain_losses(model, ready[0])))


def test_packed_prompts_give_the_logits_of_each_prompt_alone(builtin):
    picture = sketch("chart", FIRST_INDEX, 0)
    packed = row(picture.facts, builtin.processor.tokenizer, Random(0))
    inputs = collate([packed], builtin.pad)
    inputs.pop("labels")
    pixels = builtin.processor.image_processor(picture.image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        together = builtin.model(**inputs, pixel_values=pixels).logits[0]
        for number in range(1, max(packed.segment) + 1):
            at = [n for n, segment in enumerate(packed.segment) if segment in (0, number)]
            alone = builtin.model(input_ids=torch.tensor([[packed.ids[n] for n in at]]), pixel_values=pixels).logits[0]
            assert torch.allclose(alone, together[at], atol=1e-4)


def scored(folder: Path, seed: int, per_task: int) -> dict[str, np.ndarray]:
    """IRS of a reference set with one instruction an image, after fitting on it, by task."""
    made = samples(folder, ALL, per_task, seed=seed)
    model = load(CONFIG)
    lora.attach(model, DEMO, seed)
    read = SampleReader(SourceConfig(uri=str(folder)), ImageConfig(), Preparer(model.processor, 512))
    fit(model, made, read, DEMO, seed, Checkpoint(str(folder), "checkpoint"), lambda *_: None)
    found = {losses.id: losses for losses in score(model, prepared(folder, made, model.processor), 32)}
    irs = {sample.id: relevance(*found[sample.id][2:], FLOOR) for sample in made}
    return {task: np.array([irs[sample.id] for sample in made if sample.task == task]) for task in ALL}


@pytest.mark.parametrize("seed", [11, 12])
def test_tasks_with_several_possible_questions_have_a_lower_irs_than_tasks_with_one(tmp_path, seed):
    by_task = scored(tmp_path, seed, per_task=12)
    means = {task: float(values.mean()) for task, values in by_task.items()}
    assert max(means[task] for task in SEVERAL) < min(means[task] for task in ONE_QUESTION), means
    for task in ONE_QUESTION:
        assert means[task] == pytest.approx(1.0, abs=0.15), task
    assert _difference(by_task, seed) > 0.2


def _difference(by_task: dict[str, np.ndarray], seed: int) -> float:
    """One-question minus several-question mean IRS: the lower end of a 99 % bootstrap interval over samples."""
    rng = np.random.default_rng(seed)
    one, several = (np.concatenate([by_task[task] for task in tasks]) for tasks in (ONE_QUESTION, SEVERAL))
    gaps = [rng.choice(one, one.size).mean() - rng.choice(several, several.size).mean() for _ in range(2000)]
    return float(np.quantile(gaps, 0.005))
