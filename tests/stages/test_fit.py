from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from presel.concurrency.progress import listening
from presel.config import ImageConfig, LoraConfig, ReferenceModelConfig, SourceConfig
from presel.reference_model import load, lora
from presel.reference_model.folds import fold_of
from presel.stages.fit import fit_reference_model
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import FIT, INSTRUCTIONS, rows_of
from presel.tables.table_store import Output
from tests.reference_model.drawn import instructions, samples

LORA = LoraConfig(rank=4, alpha=8, learning_rate=2e-3, batch=4)
CONFIG = ReferenceModelConfig(model="builtin", max_length=512, device="cpu", lora=LORA)
CROSS = CONFIG.model_copy(update={"fit": "cross", "lora": LORA.model_copy(update={"batch": 2})})


def made(folder: Path):
    """A source with eight samples of two tasks and their instruction tables on a store."""
    refs = instructions(folder / "store", samples(folder / "pool", ["colour", "ocr"], 4))
    return refs, SourceConfig(uri=str(folder / "pool"))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    refs, source = made(tmp_path_factory.mktemp("fit"))
    heard = []
    with listening(heard.append):
        ref = fit_reference_model(refs, source, ImageConfig(), CONFIG, 0)
    return ref, heard


def test_the_loss_curve_is_the_table_and_the_adapter_lies_beside_it(fitted):
    ref, _ = fitted
    table = table_store.read(ref)
    assert table.schema == FIT
    assert table["step"].to_pylist() == [1, 2]
    assert all(0 < loss < 10 for loss in table["loss"].to_pylist())
    load(CONFIG, {name: table_store.file(ref, name) for name in (lora.WEIGHTS, lora.SETTINGS)})
    facts = table_store.facts(ref)
    assert (facts["samples"], facts["steps"]) == (8, 2)
    assert facts["seconds"] > 0


def test_progress_is_reported_for_every_step(fitted):
    assert [(said.done, said.total) for said in fitted[1]] == [(1, 2), (2, 2)]


def test_nothing_is_left_of_the_checkpoint(fitted):
    ref, _ = fitted
    assert not [entry for entry in open_store(ref.store).list(ref.folder) if "checkpoint" in entry.path]


def test_in_another_store_the_same_inputs_give_the_same_bytes(fitted, tmp_path):
    refs, source = made(tmp_path)
    assert fit_reference_model(refs, source, ImageConfig(), CONFIG, 0).digest == fitted[0].digest


def test_without_fitting_there_is_no_adapter(tmp_path):
    refs, source = made(tmp_path)
    ref = fit_reference_model(refs, source, ImageConfig(), CONFIG.model_copy(update={"fit": "none"}), 0)
    assert ref.rows == 0
    assert {Path(entry.path).suffix for entry in open_store(ref.store).list(ref.folder)} == {".parquet", ".json"}


def test_what_cannot_be_fitted_is_a_reject_and_the_rest_is_fitted(tmp_path):
    refs, source = made(tmp_path)
    rows = rows_of(table_store.read(refs[0]))
    (tmp_path / "pool" / rows[0]["key"]).unlink()
    (tmp_path / "pool" / rows[1]["key"]).write_bytes(b"another picture")
    ref = fit_reference_model(refs, source, ImageConfig(), CONFIG, 0)
    found = {row["id"]: row["reason"] for row in rows_of(table_store.rejects(ref))}
    assert found == {rows[0]["sample_id"]: "unreadable", rows[1]["sample_id"]: "changed"}
    assert table_store.facts(ref)["samples"] == 6


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    refs, source = made(tmp_path_factory.mktemp("cross"))
    return fit_reference_model(refs, source, ImageConfig(), CROSS, 0), refs


def test_cross_fitting_makes_two_adapters_each_from_the_samples_of_the_other_fold(crossed):
    ref, refs = crossed
    ids = [row["sample_id"] for one in refs for row in rows_of(table_store.read(one))]
    assert [part.label for part in ref.parts] == ["without-fold-0", "without-fold-1"]
    seen = [sum(fold_of(name) != fold for name in ids) for fold in (0, 1)]
    assert [part.rows for part in ref.parts] == [math.ceil(count / CROSS.lora.batch) for count in seen]
    assert table_store.read(ref)["step"].to_pylist() == list(range(1, ref.rows + 1))
    adapters = [table_store.file(ref, f"without-fold-{fold}.{lora.WEIGHTS}") for fold in (0, 1)]
    assert adapters[0] != adapters[1]
    assert table_store.facts(ref)["samples"] == len(ids)


def test_an_adapter_that_would_see_nothing_is_left_out(tmp_path):
    refs, source = made(tmp_path)
    rows = [row for row in rows_of(table_store.read(refs[0])) if fold_of(row["sample_id"]) == 0]
    out = Output(str(tmp_path / "store"), "instruct", "one-fold")
    out.write_rows(rows, INSTRUCTIONS, "colour")
    ref = fit_reference_model([out.commit({})], source, ImageConfig(), CROSS, 0)
    assert [part.label for part in ref.parts] == ["without-fold-1"]


class Interrupted(Exception):
    pass


def test_an_interrupted_cross_fit_does_not_fit_its_first_adapter_again(crossed, tmp_path):
    often = CROSS.model_copy(update={"checkpoint_seconds": 0.0})
    refs, source = made(tmp_path)
    heard = []

    def interrupt(said):
        if (said.label, said.done) == ("without-fold-1", 2):
            raise Interrupted

    with pytest.raises(Interrupted), listening(interrupt):
        fit_reference_model(refs, source, ImageConfig(), often, 0)
    with listening(heard.append):
        ref = fit_reference_model(refs, source, ImageConfig(), often, 0)
    assert {said.label for said in heard} == {"without-fold-1"}
    assert heard[0].done == 2
    assert ref.digest == crossed[0].digest
    assert not [entry for entry in open_store(ref.store).list(ref.folder) if "checkpoint" in entry.path]


KILLED = """
import os, signal, sys
from presel.config import ImageConfig, SourceConfig
from presel.concurrency.progress import listening
from presel.stages import fit
from tests.stages.test_fit import CONFIG, made
from pathlib import Path

def kill_at_two(said):
    if said.done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

config = CONFIG.model_copy(update={"checkpoint_seconds": 0.0})
refs, source = made(Path(sys.argv[1]))
with listening(kill_at_two):
    fit.fit_reference_model(refs, source, ImageConfig(), config, 0)
"""


def test_a_killed_fit_goes_on_where_it_was_and_ends_in_the_same_bytes(fitted, tmp_path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    refs, source = made(tmp_path)
    heard = []
    with listening(heard.append):
        ref = fit_reference_model(refs, source, ImageConfig(), CONFIG, 0)
    assert [said.done for said in heard] == [2]
    assert ref.digest == fitted[0].digest
