from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from presel.concurrency.progress import listening
from presel.config import ImageConfig, LoraConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.reference_model import Turn, load, lora, plain_losses
from presel.reference_model import backbone as loading
from presel.reference_model.folds import fold_of, unseen_by
from presel.selection.relevance import relevance
from presel.stages.fit import fit_reference_model
from presel.stages.score import _loaded, score_relevance
from presel.tables import table_store
from presel.tables.schemas import INSTRUCTIONS, RELEVANCE, rows_of
from presel.tables.table_store import Output
from tests.reference_model.drawn import instructions, prepared, samples

LORA = LoraConfig(rank=4, alpha=8, learning_rate=2e-3, batch=4)
CONFIG = ReferenceModelConfig(model="builtin", max_length=512, device="cpu", lora=LORA)
IMAGES = ImageConfig()


class Run:
    """Three tasks, instructed and fitted, on a store of their own."""

    def __init__(self, folder):
        self.folder, self.pool = folder, folder / "pool"
        self.samples = samples(self.pool, ["colour", "ocr", "scene"], 3, turns=2)
        self.source = SourceConfig(uri=str(self.pool))
        self.instructions = instructions(folder / "store", self.samples)
        self.model = fit_reference_model(self.instructions, self.source, IMAGES, CONFIG, 0)

    def score(self, ref, config=CONFIG):
        return score_relevance(ref, self.model, self.source, IMAGES, config)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("run"))


def test_every_sample_has_a_row_with_the_losses_of_the_fitted_model(run):
    adapter = {name: table_store.file(run.model, name) for name in (lora.WEIGHTS, lora.SETTINGS)}
    model = load(CONFIG, adapter)
    expected = {sample.id: plain_losses(model, sample) for sample in prepared(run.pool, run.samples, model.processor)}
    for ref in run.instructions:
        scored = run.score(ref)
        table = table_store.read(scored)
        assert table.schema == RELEVANCE
        rows = rows_of(table)
        assert [row["sample_id"] for row in rows] == sorted(s.id for s in run.samples if s.task == ref.label)
        for row in rows:
            assert (row["loss_with_question"], row["loss_without_question"]) == pytest.approx(
                expected[row["sample_id"]], abs=1e-4
            )
            with_question, without = (
                max(row[f"loss_{way}_question"], CONFIG.loss_floor) for way in ("with", "without")
            )
            assert row["irs"] == pytest.approx(with_question / without)
            assert row["response_tokens"] > 2


def test_the_batch_size_is_neither_in_the_key_nor_in_the_answer(run, tmp_path):
    other, single = Run(tmp_path), CONFIG.model_copy(update={"batch_size": 1})
    inputs = {"instructions": run.instructions[2], "model": run.model, "source": run.source, "images": IMAGES}
    assert score_relevance.key({**inputs, "config": CONFIG}) == score_relevance.key({**inputs, "config": single})
    many, one = run.score(run.instructions[2]), other.score(other.instructions[2], single)
    for a, b in zip(rows_of(table_store.read(many)), rows_of(table_store.read(one)), strict=True):
        assert a["sample_id"] == b["sample_id"]
        assert a["loss_with_question"] == pytest.approx(b["loss_with_question"], abs=1e-4)
        assert a["loss_without_question"] == pytest.approx(b["loss_without_question"], abs=1e-4)


def test_what_a_gpu_fits_and_scores_has_a_key_of_its_own(run, monkeypatch):
    inputs = {"instructions": run.instructions, "source": run.source, "images": IMAGES, "seed": 0, "model": run.model}

    def keys(gpu, **settings):
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
        config = ReferenceModelConfig(**{"model": "builtin", "max_length": 512, "lora": LORA, **settings})
        one = {**inputs, "instructions": run.instructions[0], "config": config}
        return fit_reference_model.key({**inputs, "config": config}), score_relevance.key(one)

    cpu = keys(False)
    assert cpu == keys(False, device="cpu") == keys(True, device="cpu")
    gpu = keys(True)
    assert gpu == keys(True, device="cuda") == keys(False, device="cuda")
    assert gpu[0] != cpu[0]
    assert gpu[1] != cpu[1]
    fitted_nowhere = [keys(there, fit="none") for there in (False, True)]
    assert fitted_nowhere[0][0] == fitted_nowhere[1][0]
    assert fitted_nowhere[0][1] != fitted_nowhere[1][1]
    elsewhere = {"served": {"base_url": "http://127.0.0.1/v1", "model": "m"}}
    assert keys(False, **elsewhere) == keys(True, **elsewhere)


def test_tasks_scored_at_the_same_time_share_one_loaded_model(run, monkeypatch):
    loads = []
    original = loading.load_backbone
    monkeypatch.setattr(
        "presel.reference_model.load_backbone", lambda config, _dtype: loads.append(config) or original(config)
    )
    _loaded.cache_clear()
    config = CONFIG.model_copy(update={"max_length": 400})  # nothing of this is on the store yet
    with ThreadPoolExecutor(3) as pool:
        refs = list(pool.map(lambda ref: run.score(ref, config), run.instructions))
    assert len(loads) == 1
    assert [ref.rows for ref in refs] == [3, 3, 3]


def test_progress_reaches_the_number_of_samples(run):
    heard = []
    with listening(heard.append):
        run.score(run.instructions[0], CONFIG.model_copy(update={"max_length": 300}))
    assert (heard[-1].label, heard[-1].done, heard[-1].total) == ("colour", 3, 3)


def test_what_cannot_be_scored_is_a_reject_with_its_reason(tmp_path):
    pool = tmp_path / "pool"
    gone, changed, broken, cut, bad, fine = samples(pool, ["colour"], 6)
    (pool / gone.key).unlink()
    (pool / changed.key).write_bytes(b"another picture")
    (pool / broken.key).write_bytes(b"\xff\xd8\xff no picture")
    content = digest(b"\xff\xd8\xff no picture")
    broken = broken._replace(content=content, id=sample_id("colour", content))
    cut = cut._replace(turns=(Turn("What colour is it?", "red " * 600),))
    bad = bad._replace(turns=(Turn("What is this?", "An </s> of sorts."),))
    refs = instructions(tmp_path / "store", [gone, changed, broken, cut, bad, fine])
    source, config = SourceConfig(uri=str(pool)), CONFIG.model_copy(update={"fit": "none"})
    model = fit_reference_model(refs, source, IMAGES, config, 0)
    scored = score_relevance(refs[0], model, source, IMAGES, config)
    assert [row["sample_id"] for row in rows_of(table_store.read(scored))] == [fine.id]
    found = {row["id"]: row["reason"] for row in rows_of(table_store.rejects(scored))}
    assert found.pop(broken.id) in ("undecodable", "truncated", "not_an_image")
    assert found == {gone.id: "unreadable", changed.id: "changed", cut.id: "too_long", bad.id: "control_token"}


def test_a_loss_that_is_not_finite_is_a_reject(run, tmp_path):
    broken = load(CONFIG)
    with torch.no_grad():
        broken.model.get_output_embeddings().weight[5:] = math.nan
    broken.model.save_pretrained(tmp_path)
    broken.processor.save_pretrained(tmp_path)
    config = CONFIG.model_copy(update={"fit": "none", "model": str(tmp_path)})
    model = fit_reference_model(run.instructions, run.source, IMAGES, config, 0)
    scored = score_relevance(run.instructions[1], model, run.source, IMAGES, config)
    assert scored.rows == 0
    assert {row["reason"] for row in rows_of(table_store.rejects(scored))} == {"loss_not_finite"}
    assert scored.rejects == 3


def test_a_task_without_instructions_gives_an_empty_table(run):
    out = Output(str(run.folder / "store"), "instruct", "empty")
    out.write_rows([], INSTRUCTIONS, "nothing")
    scored = run.score(out.commit({}))
    assert scored.rows == 0
    assert scored.label == "nothing"


def test_relevance_is_the_ratio_of_the_losses_and_one_where_both_are_certain():
    assert relevance(0.5, 2.0) == 0.25
    assert relevance(0.0, 0.0) == 1.0
    assert relevance(0.004, 0.001) == 4.0
    assert relevance(0.004, 0.001, floor=0.05) == 1.0
    assert relevance(0.004, 0.5, floor=0.05) == 0.1


def test_a_cross_fitted_sample_is_scored_by_the_adapter_that_has_not_seen_it(run):
    config = CONFIG.model_copy(update={"fit": "cross"})
    fitted = fit_reference_model(run.instructions, run.source, IMAGES, config, 0)
    models = []
    for fold in (0, 1):
        folder = unseen_by(fold)
        models.append(
            load(CONFIG, {n: table_store.file(fitted, f"{folder}.{n}") for n in (lora.WEIGHTS, lora.SETTINGS)})
        )
    ready = {sample.id: sample for sample in prepared(run.pool, run.samples, models[0].processor)}
    apart = []
    for ref in run.instructions:
        scored = score_relevance(ref, fitted, run.source, IMAGES, config)
        assert scored.rows == 3
        for row in rows_of(table_store.read(scored)):
            unseen, other = fold_of(row["sample_id"]), 1 - fold_of(row["sample_id"])
            found = (row["loss_with_question"], row["loss_without_question"])
            assert found == pytest.approx(plain_losses(models[unseen], ready[row["sample_id"]]), abs=1e-4)
            apart.append(abs(found[0] - plain_losses(models[other], ready[row["sample_id"]])[0]))
    assert max(apart) > 1e-3  # the other adapter would have said something else


def test_a_fold_without_an_adapter_is_scored_by_the_base(run):
    config = CONFIG.model_copy(update={"fit": "cross"})
    alone = [sample for sample in run.samples if fold_of(sample.id) == 0][:1]
    refs = instructions(run.folder / "store", alone)
    fitted = fit_reference_model(refs, run.source, IMAGES, config, 0)
    row = rows_of(table_store.read(score_relevance(refs[0], fitted, run.source, IMAGES, config)))[0]
    base = load(CONFIG)
    expected = plain_losses(base, prepared(run.pool, alone, base.processor)[0])
    assert (row["loss_with_question"], row["loss_without_question"]) == pytest.approx(expected, abs=1e-4)


def test_joined_turns_score_the_replies_as_one_as_the_released_scripts_do(run):
    joined = rows_of(table_store.read(run.score(run.instructions[2], CONFIG.model_copy(update={"turns": "joined"}))))
    masked = rows_of(table_store.read(run.score(run.instructions[2])))
    model = load(CONFIG, {name: table_store.file(run.model, name) for name in (lora.WEIGHTS, lora.SETTINGS)})
    for one, other in zip(joined, masked, strict=True):
        assert one["loss_with_question"] == other["loss_with_question"]
        sample = next(sample for sample in run.samples if sample.id == one["sample_id"])
        as_one = sample._replace(turns=(Turn("", " ".join(turn.response for turn in sample.turns)),))
        expected = plain_losses(model, prepared(run.pool, [as_one], model.processor)[0])[1]
        assert one["loss_without_question"] == pytest.approx(expected, abs=1e-4)
    assert any(
        abs(a["loss_without_question"] - b["loss_without_question"]) > 1e-2 for a, b in zip(joined, masked, strict=True)
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from presel.concurrency.progress import listening
from tests.stages.test_score import Run

def kill_in_the_second_task(said):
    if (said.stage, said.label, said.done) == ("score", "ocr", 2):
        os.kill(os.getpid(), signal.SIGKILL)

run = Run(Path(sys.argv[1]))
with listening(kill_in_the_second_task):
    for ref in run.instructions:
        run.score(ref)
"""


def test_a_killed_score_does_only_the_task_again_that_it_was_killed_in(run, tmp_path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    heard, again = [], Run(tmp_path)
    with listening(heard.append):
        refs = [again.score(ref) for ref in again.instructions]
    assert {(said.stage, said.label) for said in heard} == {("score", "ocr"), ("score", "scene")}
    assert [ref.digest for ref in refs] == [run.score(ref).digest for ref in run.instructions]
