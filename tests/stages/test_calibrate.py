"""The guard's threshold from retakes of a real pool's pictures, by a real encoder, and the choice it leads to."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from presel.config import ClusteringConfig, EncoderConfig, SelectionConfig, SourceConfig
from presel.demo.drawing.encode import to_bytes
from presel.demo.drawing.tasks import sketch
from presel.images.retakes import retaken
from presel.stages.assemble import assemble
from presel.stages.calibrate import calibrate
from presel.stages.cluster import cluster
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.stages.rank import rank
from presel.tables import table_store
from presel.tables.guard import guard_of, threshold_of
from tests.stages.choosing import instructed, paid_before

ENCODER = EncoderConfig(name="builtin", device="cpu")
AUTO = SelectionConfig(near_duplicate="auto")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Fifty scenes, six of them taken three times, and its samples."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "scene").mkdir()
    for scene in range(50):
        image = sketch("scene", 7_000_000 + scene, 0, longest=160).image
        for take in range(3 if scene < 6 else 1):
            again = image if take == 0 else retaken(image, Random(f"{scene}/{take}"))
            (folder / "scene" / f"{scene:02d}-{take}.png").write_bytes(to_bytes(again, "png"))
    source, store = SourceConfig(uri=str(folder)), str(tmp_path_factory.mktemp("store"))
    catalog = ingest(source, store)
    return source, assemble(catalog, [embed_part(part, source, ENCODER) for part in catalog.split()])


@pytest.fixture(scope="module")
def guard(pool):
    source, samples = pool
    return calibrate(samples, source, ENCODER, AUTO, 0)


def test_the_threshold_comes_from_retakes_and_stands_with_what_it_comes_from(guard) -> None:
    found = guard_of(guard)["scene"]
    assert found["retakes"] == 20
    assert found["others_99"] <= found["threshold"] < 1
    assert threshold_of(guard, "scene") == found["threshold"]


def test_a_fixed_threshold_is_passed_on_and_no_image_is_read(pool) -> None:
    source, samples = pool
    nowhere = source.model_copy(update={"uri": "/nowhere"})
    for given in (0.9, None):
        assert (
            threshold_of(calibrate(samples, nowhere, ENCODER, SelectionConfig(near_duplicate=given), 0), "scene")
            == given
        )


def test_images_that_cannot_be_read_again_leave_the_usual_threshold(pool, tmp_path: Path) -> None:
    _, samples = pool
    (tmp_path / "another.png").write_bytes(b"")
    others = SourceConfig(uri=str(tmp_path))
    assert guard_of(calibrate(samples, others, ENCODER, AUTO, 1))["scene"] == {"threshold": 0.98, "retakes": 0}


def test_with_it_retakes_are_left_out_that_the_usual_threshold_lets_pass(pool, guard) -> None:
    _, samples = pool
    part = samples.split()[0]
    labels = cluster(part, ClusteringConfig(images_per_cluster=16), 0)
    none = instructed(samples.store, "scene", [])
    paid = paid_before(samples.store, part)
    usual, auto = (
        rank(part, labels, none, paid, SelectionConfig(near_duplicate=given), 0, guard) for given in (0.98, "auto")
    )

    def retakes(ref):
        named = [row["key"].rpartition("/")[2][:4] for row in table_store.rejects(ref).to_pylist()]
        return sum(name[:2] < "06" for name in named)

    assert retakes(auto) > retakes(usual)
    assert len(table_store.read(auto)) >= 40
