"""The salt: every row's bytes are what its note says, and the pool carries all of them."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageOps

from presel.demo.drawing.tasks import TASKS, sketch
from presel.demo.pool import write_pool
from presel.demo.salt import CLUMP, FIRST_INDEX, SALT, Salted

SEED = 5
BY_KEY = {row.key: row for row in SALT}


def data_of(key: str) -> bytes:
    return BY_KEY[key].make(SEED).data


def upright(data: bytes) -> Image.Image:
    """What a viewer would show of an 8-bit picture without alpha."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference in grey levels, at 64 x 64."""
    a, b = (np.asarray(image.convert("RGB").resize((64, 64))).astype(float) for image in (one, other))
    return float(np.abs(a - b).mean())


def test_keys_are_unique_and_lie_in_tasks_except_the_one_at_the_root() -> None:
    assert len(BY_KEY) == len(SALT)
    outside = [row.key for row in SALT if row.key.split("/")[0] not in TASKS]
    assert outside == ["README.txt"]
    assert BY_KEY["README.txt"].reason == "no_task"


def test_every_reason_is_in_the_vocabulary_and_all_kinds_of_damage_are_there() -> None:
    assert {row.reason for row in SALT} == {
        None, "duplicate", "truncated", "undecodable", "not_an_image", "zero_byte", "too_many_pixels", "too_small",
        "aspect_ratio", "no_task",
    }  # fmt: skip


@pytest.mark.parametrize("row", SALT, ids=lambda row: row.key[-40:])
def test_a_usable_file_decodes_and_is_known_and_a_broken_one_is_not(row: Salted) -> None:
    data, facts = row.make(SEED)
    assert row.make(SEED).data == data
    if row.reason in (None, "duplicate"):
        image = Image.open(io.BytesIO(data))
        image.load()
        assert min(image.size) >= 64
        assert facts is not None
    else:
        assert facts is None


def test_broken_pictures_really_do_not_decode() -> None:
    for row in SALT:
        if row.reason in ("truncated", "undecodable", "not_an_image", "zero_byte"):
            with pytest.raises((OSError, SyntaxError)):  # UnidentifiedImageError is an OSError
                Image.open(io.BytesIO(row.make(SEED).data)).load()


def test_copies_have_the_bytes_of_their_original_and_the_pipeline_may_keep_one() -> None:
    for row in SALT:
        if row.reason == "duplicate":
            assert row.like is not None
            assert row.key.split("/")[0] == row.like.split("/")[0]
            assert data_of(row.key) == data_of(row.like)
            assert BY_KEY[row.like].reason is None
    contents = Counter((row.key.split("/")[0], hashlib.sha256(row.make(SEED).data).digest()) for row in SALT)
    assert sum(count - 1 for count in contents.values()) == sum(row.reason == "duplicate" for row in SALT)


def test_the_same_bytes_in_another_task_are_usable_in_both() -> None:
    assert data_of("scene/holiday.jpg") == data_of("photo/holiday.jpg")
    assert BY_KEY["scene/holiday.jpg"].reason is BY_KEY["photo/holiday.jpg"].reason is None


def test_near_duplicates_differ_in_bytes_and_hardly_in_looks() -> None:
    near = [row for row in SALT if row.like is not None and row.reason is None]
    assert sum(row.like == "scene/burst_00.jpg" for row in near) == CLUMP - 1
    assert len(near) == CLUMP - 1 + 5
    assert len({row.make(SEED).data for row in near}) == len(near)
    for row in near:
        assert row.like is not None
        assert difference(upright(row.make(SEED).data), upright(data_of(row.like))) < 10


def test_the_bomb_is_small_on_disk_and_400_million_pixels_in_its_header() -> None:
    data = data_of("texture/bomb.png")
    assert len(data) < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            assert Image.open(io.BytesIO(data)).size == (20_000, 20_000)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def test_unusual_pictures_are_what_their_notes_say() -> None:
    assert Image.open(io.BytesIO(data_of("spatial/drawing.jpg"))).format == "GIF"
    assert Image.open(io.BytesIO(data_of("count/blinking.gif"))).n_frames == 3
    assert Image.open(io.BytesIO(data_of("scene/print.jpg"))).mode == "CMYK"
    assert Image.open(io.BytesIO(data_of("digits/scan16.png"))).mode.startswith("I")
    assert Image.open(io.BytesIO(data_of("presence/card.png"))).mode == "RGBA"
    assert Image.open(io.BytesIO(data_of("clock/sticker.png"))).info["transparency"] is not None
    assert Image.open(io.BytesIO(data_of("photo/web.jpg"))).info["progressive"]
    assert Image.open(io.BytesIO(data_of("ocr/phone.jpg"))).getexif()[0x0112] == 6


def test_turned_upright_the_rotated_picture_is_the_drawn_one() -> None:
    drawn = sketch("ocr", FIRST_INDEX + 9, SEED, longest=480)
    stored = Image.open(io.BytesIO(data_of("ocr/phone.jpg")))
    assert stored.size == drawn.image.size[::-1]
    assert difference(upright(data_of("ocr/phone.jpg")), drawn.image) < 3
    assert BY_KEY["ocr/phone.jpg"].make(SEED).facts == drawn.facts


def test_the_first_frame_of_the_animation_is_the_drawn_picture() -> None:
    drawn = sketch("count", FIRST_INDEX + 4, SEED, longest=480)
    assert difference(upright(data_of("count/blinking.gif")), drawn.image) < 6


def test_sixteen_bit_grey_uses_the_whole_range() -> None:
    deep = np.asarray(Image.open(io.BytesIO(data_of("digits/scan16.png"))))
    assert deep.max() > 30_000
    assert deep.min() < 20_000


def test_the_pool_carries_every_salted_file_and_knows_all_that_are_readable() -> None:
    files: dict[str, bytes] = {}
    answers = write_pool(files.__setitem__, images=40, seed=SEED)
    assert len(files) == 40 + len(SALT)
    for row in SALT:
        data = files[row.key]
        known = answers.get(hashlib.sha256(data).hexdigest())
        assert (known is not None) == (row.reason in (None, "duplicate")), row.key
