"""The fine-tuning flow on a small published version, with the tiny LVLM."""

from __future__ import annotations

from pathlib import Path

from flows.finetune import finetune
from presel import open_dataset
from presel.cli.prefect_run import run_finetune
from presel.config import LoraConfig, ReferenceModelConfig, SourceConfig
from presel.demo.setting import demo_config
from presel.reference_model import load
from tasks.results import results_in
from tests.reference_model.published import publish_drawn

LORA = LoraConfig(rank=4, alpha=8, learning_rate=2e-3, batch=4)


def test_the_flow_tunes_shows_and_keeps_a_model_and_does_it_once(tmp_path):
    from prefect.artifacts import Artifact

    publish_drawn(tmp_path, ["colour"], 6)
    model = ReferenceModelConfig(model="builtin", max_length=512, device="cpu", lora=LORA)
    config = demo_config(str(tmp_path / "pool"), str(tmp_path / "store")).model_copy(
        update={"source": SourceConfig(uri=str(tmp_path / "pool")), "reference_model": model}
    )
    flow = finetune.with_options(result_storage=results_in(config.store))
    address = flow(config, held_out=0.3)
    load(model, Path(address))
    made = Path(address).parents[2] / "tables" / "finetune"
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    assert run_finetune(config, 1, 0.3) == address  # what `presel finetune 1 --held-out 0.3` does
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()} == before
    assert "nats per response token" in Artifact.get("demo-tuning").data
    place = open_dataset(config.store, "demo", source=config.source).export(tmp_path / "train", validation=0.3)
    exported = run_finetune(config, None, 0.0, place)  # what `presel finetune --export train` does
    assert (Path(exported) / "adapter_model.safetensors").read_bytes() == (
        Path(address) / "adapter_model.safetensors"
    ).read_bytes()
    assert Artifact.get("demo-model").data.count("models/demo/1-") >= 1
