from __future__ import annotations

import inspect

from presel.config import ClusteringConfig
from presel.tables.schemas import CLUSTERS, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output

calls: list[int] = []


@stage("number", version=1)
def number(out: Output, store: str, config: ClusteringConfig, seed: int = 0) -> None:
    """Writes a number."""
    calls.append(seed)
    out.write_rows([{"sample_id": "a", "cluster": seed}], CLUSTERS)


@stage("follow", version=1)
def follow(out: Output, numbers: list[TableRef]) -> None:
    out.write_rows([{"sample_id": ref.key, "cluster": 0} for ref in numbers], CLUSTERS)


def test_the_same_question_is_answered_from_the_store(tmp_path):
    calls.clear()
    first = number(str(tmp_path), ClusteringConfig(), seed=3)
    assert number(str(tmp_path), ClusteringConfig(), 3) == first
    assert calls == [3]
    number(str(tmp_path), ClusteringConfig(), 4)
    assert calls == [3, 4]


def test_a_default_written_out_is_the_same_question(tmp_path):
    assert number(str(tmp_path), ClusteringConfig()) == number(str(tmp_path), ClusteringConfig(), seed=0)


def test_the_store_is_not_part_of_the_key(tmp_path):
    one, other = number(str(tmp_path / "a"), ClusteringConfig()), number(str(tmp_path / "b"), ClusteringConfig())
    assert (one.key, one.digest) == (other.key, other.digest)
    assert one.store != other.store


def test_a_stage_writes_beside_its_inputs(tmp_path):
    ref = number(str(tmp_path), ClusteringConfig())
    assert follow([ref]).store == ref.store


def test_a_stage_killed_before_its_manifest_runs_again(tmp_path):
    calls.clear()
    ref = number(str(tmp_path), ClusteringConfig())
    (tmp_path / ref.folder / "manifest.json").unlink()
    assert number(str(tmp_path), ClusteringConfig()) == ref
    assert calls == [0, 0]


def test_a_stage_shows_the_signature_of_its_inputs():
    assert list(inspect.signature(number).parameters) == ["store", "config", "seed"]
    assert number.__doc__ == "Writes a number."
