"""Another `image_side` buys only pictures that are sent otherwise by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from presel.config.keys import digest
from presel.demo.endpoint import looks, serve
from presel.instruct.money.purse import spending
from presel.instruct.sides import FOLDER
from presel.storage import open_store
from tests.instruct.pools import BATCH, Pool, generator, rows
from tests.instruct.run_stage import Worker

BATCHED = {"mode": "batch", "batch": BATCH}


@pytest.mark.parametrize("then", [{"image_side": 512}, {"image_side": 2048}, {"image_side": 512, **BATCHED}], ids=str)
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "of an older presel"])
def test_pictures_that_are_smaller_than_both_sides_are_not_bought_again(
    then: dict[str, object], noted: bool, pool: Pool
) -> None:
    with serve(looks) as endpoint:
        first = pool.instruct(generator(endpoint.url), picked=6)
        if not noted:
            shutil.rmtree(pool.root / "store" / FOLDER)
        again = pool.instruct(generator(endpoint.url, **then), picked=6)
        assert endpoint.counts.billed == 6
        assert rows(first) == rows(again)
        assert pool.instruct(generator(endpoint.url), picked=8).rows == 8
        assert pool.instruct(generator(endpoint.url, **then), picked=8).rows == 8
    assert endpoint.counts.billed == 8


def test_a_picture_that_another_side_shrinks_is_another_question(pool: Pool) -> None:
    for i in range(4):
        Image.open(pool.file(i)).resize((64, 60)).save(pool.file(i), quality=80)
        pool.content[i] = digest(pool.file(i).read_bytes())
    with serve(looks) as endpoint:
        for side, billed in ((64, 4), (100, 4), (32, 8), (64, 8)):
            pool.instruct(generator(endpoint.url, image_side=side), picked=4, images=4)
            assert endpoint.counts.billed == billed


def test_of_three_runs_at_once_each_knows_what_it_paid_itself(tmp_path: Path) -> None:
    with serve(looks, latency=0.4) as endpoint:  # one worker alone takes ten seconds: the others are there by then
        Pool(tmp_path, 24)
        workers = [Worker(tmp_path, endpoint.url, 24, "--images", 24, "--concurrency", 1) for _ in range(3)]
        assert [worker.wait(100) for worker in workers] == [0, 0, 0]
    paid = [worker.said["paid"] for worker in workers]
    assert sum(paid) == pytest.approx(spending(open_store(str(tmp_path / "store")))["spent_usd"])
    assert sum(amount > 0 for amount in paid) > 1
    assert endpoint.counts.billed == 24
