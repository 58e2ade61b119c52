"""Those who read an export, themselves: every record read, picture and answer compared with the version.

Each has a process of its own, without a network. `datasets`, `webdataset` and TRL install beside the project's
pins; LLaMA-Factory and ms-swift want other versions of transformers, so PRESEL_LLAMA_FACTORY and PRESEL_MS_SWIFT
name the `bin` folders of environments that have them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from presel.dataset.texts import neutral
from presel.demo.lvlm import base_folder
from presel.export import export_version
from tests.export.pool import every_kind, publish

pytestmark = pytest.mark.skipif(not os.environ.get("PRESEL_SYSTEM"), reason="trains: `make test-outside` runs it")
READ = """
import pickle, sys
import numpy as np
truth = pickle.load(open("truth.pkl", "rb"))
def same(name, picture, answer):
    pixels, said = truth.pop(name)
    assert np.array_equal(np.asarray(picture.convert("RGB")), pixels), name
    assert answer == said, (answer, said)
"""
DATASETS = """
from datasets import load_dataset
for side in load_dataset("all/hf").values():
    for row in side:
        same(row["id"], row["images"][0], row["conversations"][1]["value"])
assert not truth
assert len(list(load_dataset("all/hf", split="train", streaming=True))) == len(load_dataset("all/hf", split="train"))
"""
SHARDS_BY_DATASETS = """
from datasets import load_dataset
for row in load_dataset("webdataset", data_files={"train": "all/webdataset/*.tar"}, split="train"):
    same(row["json"]["id"], row["png"], row["json"]["conversations"][1]["value"])
assert not truth
"""
SHARDS = """
import glob
import webdataset as wds
rows = wds.WebDataset(sorted(glob.glob("all/webdataset/*.tar")), shardshuffle=False).decode("pil")
for key, picture, record in rows.to_tuple("__key__", "png", "json"):
    same(key, picture, record["conversations"][1]["value"])
assert not truth
"""
TRL = """
sys.path.insert(0, "all/trl")
import train
for side in ("train", "validation"):
    for row in train.rows(side):
        name = row["images"][0].filename.rpartition("/")[2].partition(".")[0]
        same(name, row["images"][0], row["completion"][0]["content"][0]["text"])
assert not truth
"""
TRL_TRAINS = """
sys.path.insert(0, "all/trl")
import train
made = train.train(sys.argv[1], "tuned", max_steps=2, use_cpu=True, bf16=False, eval_strategy="no", logging_steps=1)
assert [step["loss"] > 0 for step in made.state.log_history if "loss" in step] == [True, True]
"""
NEEDS = {
    "datasets": (DATASETS, "datasets"),
    "shards by datasets": (SHARDS_BY_DATASETS, "datasets"),
    "webdataset": (SHARDS, "webdataset"),
    "trl": (TRL, "trl"),
    "trl trains": (TRL_TRAINS, "trl"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the export of a hostile pool for every trainer, and what it must come to."""
    folder = tmp_path_factory.mktemp("consumers")
    made = publish(folder, every_kind())
    trainers = ("hf", "webdataset", "trl", "llama-factory", "ms-swift")
    export_version(made.dataset, made.exporting(folder / "all", *trainers, validation=0.2))
    truth = {row["sample_id"]: (made.pixels(row), neutral(row["turns"][0]["response"])) for row in made.rows}
    (folder / "truth.pkl").write_bytes(pickle.dumps(truth))
    return folder


def run(place: Path, *command: str, **environment: str) -> str:
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "home"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=place, env={**os.environ, **offline, **environment}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("consumer", NEEDS)
def test_a_consumer_sees_what_the_version_holds(consumer: str, place: Path) -> None:
    program, package = NEEDS[consumer]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"pip install {package}")
    run(place, sys.executable, "-c", READ + program, str(base_folder()))


@pytest.mark.skipif("PRESEL_LLAMA_FACTORY" not in os.environ, reason="names no environment")
def test_llama_factory_trains_on_every_record(place: Path) -> None:
    settings = {
        "model_name_or_path": str(base_folder()), "template": "llava", "stage": "sft", "do_train": True,
        "finetuning_type": "lora", "dataset_dir": str(place / "all/llama-factory"), "media_dir": str(place / "all"),
        "dataset": "odd-1_train", "output_dir": "factory", "max_steps": 2, "logging_steps": 1, "report_to": "none",
    }  # fmt: skip
    (place / "factory.yaml").write_text(json.dumps(settings))
    program = str(Path(os.environ["PRESEL_LLAMA_FACTORY"]) / "llamafactory-cli")
    said = run(place, program, "train", "factory.yaml", DISABLE_VERSION_CHECK="1", PYTHONPATH="")
    rows = len((place / "all/llama-factory/train.jsonl").read_text().split("\n")) - 1
    assert f"Num examples = {rows}" in said


@pytest.mark.skipif("PRESEL_MS_SWIFT" not in os.environ, reason="names no environment")
def test_ms_swift_trains_on_every_record(place: Path) -> None:
    command = [
        str(Path(os.environ["PRESEL_MS_SWIFT"]) / "swift"), "sft", "--model", str(base_folder()),
        "--model_type", "llava1_5_hf", "--tuner_type", "lora", "--dataset", "all/ms-swift/train.jsonl", "--use_hf", "true",
        "--max_steps", "2", "--torch_dtype", "float32", "--output_dir", "swift", "--split_dataset_ratio", "0",
    ]  # fmt: skip
    said = run(place, *command, ROOT_IMAGE_DIR=str(place / "all"), PYTHONPATH="")
    rows = len((place / "all/ms-swift/train.jsonl").read_text().split("\n")) - 1
    assert f"num_rows: {rows}" in said
