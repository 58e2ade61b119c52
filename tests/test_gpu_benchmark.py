"""The measurements for a GPU run on a CPU in small, so that the command works on the day there is one."""

from __future__ import annotations

import json
import os
import time

import pytest

from benchmarks.gpu import main
from benchmarks.gpu_parts import PARTS

ON_CPU = ["--device", "cpu", "--tiny"]
outside = pytest.mark.skipif("PRESEL_SYSTEM" not in os.environ, reason="two minutes: make test-outside")


def measured(path, *arguments):
    main([*ON_CPU, "--out", str(path), *arguments])
    return json.loads(path.read_text())


def test_clusterings_are_measured_and_agree_with_those_of_the_cpu(tmp_path):
    found = measured(tmp_path / "gpu.json", "--minutes", "3", "--parts", "clusters", "tasks")
    assert found["machine"]["device"] == "cpu"
    assert found["clusters"]["ended"] == found["tasks"]["ended"] == "done"
    assert found["clusters"]["clustered_inertia_ratio"] == pytest.approx(1, abs=0.02)
    assert found["clusters"]["diffuse_inertia_ratio"] == pytest.approx(1, abs=0.02)
    assert found["clusters"]["clustered_same_again"] is True
    assert found["tasks"]["device_seconds"] > 0


def test_a_part_whose_time_is_over_is_ended_and_the_next_one_runs(tmp_path):
    started = time.monotonic()
    found = measured(tmp_path / "gpu.json", "--minutes", "0.001", "--parts", "fit", "tasks")
    assert time.monotonic() - started < 20
    assert [found[name]["ended"] for name in ("fit", "tasks")] == ["its time was over"] * 2


@outside
def test_every_part_runs_to_its_end_and_computes_the_same_on_the_same_device(tmp_path):
    found = measured(tmp_path / "gpu.json", "--minutes", "12")
    assert {name: found[name]["ended"] for name in PARTS} == dict.fromkeys(PARTS, "done"), found
    assert found["vectors"]["least_cosine"] == pytest.approx(1, abs=1e-5)
    assert found["losses"]["largest_gap_nats"] < 1e-4
    assert found["fit"]["largest_gap_nats"] < 1e-6
    assert found["scoring"]["largest_gap_nats"] < 1e-4
    assert found["scoring"]["ratio"] > 0
