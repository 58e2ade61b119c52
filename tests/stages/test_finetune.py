"""A model tuned on a published version: the fit is the reference model's, the evaluation is on what it was not shown."""

from __future__ import annotations

import json

import pytest

from presel import open_dataset
from presel.config import ImageConfig, LoraConfig, ReferenceModelConfig, SourceConfig
from presel.dataset.versions import published
from presel.errors import InputError, NotFound
from presel.export.exported import exported
from presel.export.likeness import split_of
from presel.reference_model import load, lora, plain_losses
from presel.report.tuned import curve_markdown, evaluation_rows, evaluation_words
from presel.runs.housekeeping import gc
from presel.stages.finetune import fine_tune, fine_tune_export, keep_model
from presel.tables import table_store
from presel.tables.schemas import FIT, rows_of
from tests.reference_model.drawn import prepared, samples
from tests.reference_model.published import manner, publish_drawn

LORA = LoraConfig(rank=8, alpha=16, learning_rate=4e-3, batch=4, epochs=2, question_dropout=0.5)
CONFIG = ReferenceModelConfig(model="builtin", max_length=512, device="cpu", lora=LORA)
HELD_OUT = 0.3


class Tuned:
    def __init__(self, folder):
        self.folder, self.store = folder, str(folder / "store")
        self.source = SourceConfig(uri=str(folder / "pool"))
        self.dataset = publish_drawn(folder, ["colour", "scene"], 10)
        self.samples = manner(samples(folder / "pool", ["colour", "scene"], 10))

    def tune(self, config=CONFIG):
        return fine_tune(self.dataset, self.source, ImageConfig(), config, HELD_OUT, 0, self.store)


def held(run, share):
    """Digests of the images that an export holds out."""
    return split_of(run.dataset, run.store, 0.95, share).held


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Tuned(tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="module")
def tuned(run):
    return run.tune()


def test_what_is_held_out_is_not_fitted_and_is_scored_before_and_after(run, tuned):
    back = [sample for sample in run.samples if sample.content in held(run, HELD_OUT)]
    assert 0 < len(back) < len(run.samples)
    assert table_store.facts(tuned)["samples"] == len(run.samples) - len(back)
    adapter = {name: table_store.file(tuned, name) for name in (lora.WEIGHTS, lora.SETTINGS)}
    base, fitted = load(CONFIG), load(CONFIG, adapter)
    found = json.loads(table_store.file(tuned, "evaluation.json"))
    for name, model in (("loss_before", base), ("loss_after", fitted)):
        losses = [plain_losses(model, ready)[0] for ready in prepared(run.folder / "pool", back, model.processor)]
        assert found[name] == pytest.approx(sum(losses) / len(losses), abs=1e-4)
    assert found["records"] == sum(task["records"] for task in found["tasks"].values()) == len(back)
    assert found["loss_after"] < 0.7 * found["loss_before"]


def test_an_export_is_fitted_and_held_out_like_the_version_it_is_of(run, tuned, tmp_path):
    data = open_dataset(run.store, "demo", source=run.source)
    place = data.export(tmp_path / "out", ("hf", "llava"), validation=HELD_OUT)
    again = fine_tune_export(exported(place), ImageConfig(), CONFIG, 0, run.store)
    assert again.digest == tuned.digest
    assert table_store.file(again, "evaluation.json") == table_store.file(tuned, "evaluation.json")


def test_what_is_no_export_is_not_fitted(run, tmp_path):
    with pytest.raises(NotFound, match="no complete export"):
        exported(str(tmp_path))
    open_dataset(run.store, "demo", source=run.source).export(tmp_path / "out", "llava")
    with pytest.raises(InputError, match="--for hf"):
        exported(str(tmp_path / "out"))


def test_no_question_is_dropped_whatever_the_reference_models_recipe_says(run, tuned):
    without = CONFIG.model_copy(update={"lora": LORA.model_copy(update={"question_dropout": 0.0})})
    assert run.tune(without).digest == tuned.digest


def test_the_curve_and_the_evaluation_can_be_shown(tuned):
    assert table_store.read(tuned).schema == FIT
    assert len(curve_markdown(tuned).encode()) < 200_000
    assert "data:image/png;base64," in curve_markdown(tuned)
    assert [row["task"] for row in evaluation_rows(tuned)] == ["colour", "scene"]
    assert "nats per response token before" in evaluation_words(tuned)


def test_a_kept_model_is_an_adapter_folder_that_names_its_data_and_survives_housekeeping(run, tuned):
    address = keep_model(tuned, run.dataset, CONFIG)
    assert address == keep_model(tuned, run.dataset, CONFIG)
    folder = run.folder / "store" / "models" / "demo" / f"1-{tuned.key[:8]}"
    assert str(folder) in address
    load(CONFIG, folder)
    about = json.loads((folder / "model.json").read_text())
    assert about["dataset"] == {"name": "demo", "version": 1, "digest": run.dataset.digest}
    assert not [found for found in gc.look(run.store) if found.path.startswith("models/")]


def test_the_version_is_the_latest_unless_it_is_named(run):
    assert published(run.store, "demo", None) == run.dataset
    assert published(run.store, "demo", 1) == run.dataset
    with pytest.raises(NotFound, match="presel run"):
        published(run.store, "other", None)
    with pytest.raises(NotFound, match="no version 7"):
        published(run.store, "demo", 7)


def test_a_record_whose_image_is_gone_is_a_reject(tmp_path):
    run = Tuned(tmp_path)
    gone = next(sample for sample in run.samples if sample.content not in held(run, HELD_OUT))
    (tmp_path / "pool" / gone.key).unlink()
    once = CONFIG.model_copy(update={"lora": LORA.model_copy(update={"epochs": 1})})
    rejects = rows_of(table_store.rejects(run.tune(once)))
    assert [(row["id"], row["reason"]) for row in rejects] == [(gone.id, "unreadable")]
