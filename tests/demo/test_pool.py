"""The pool: determinism, sizes, a closed vocabulary, and ground truth checked against the pixels."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from presel.demo import photos
from presel.demo.drawing import clocks, colours, counting, digits, spatial
from presel.demo.drawing.palette import NAMED
from presel.demo.drawing.truth import NUMBERS, Facts, Picture, plural
from presel.demo.drawing.words import WORDS
from presel.demo.pool import TASKS, Answers, draw, images_per_task, sketch, write_pool
from presel.errors import InputError, IntegrityError

SEED = 3


def pool(seed: int, images: int = 120, *, salt: bool = False) -> tuple[dict[str, bytes], Answers]:
    files: dict[str, bytes] = {}
    answers = write_pool(files.__setitem__, images=images, seed=seed, salt=salt)
    return files, answers


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def named_pixels(image: Image.Image) -> Counter[str]:
    """Share of pixels per nearest colour name, by distance in CIELAB (our own palette, but another space than drawing uses)."""
    names = list(NAMED)
    centres = rgb2lab(np.array([NAMED[name] for name in names])[None] / 255)[0]
    pixels = rgb2lab(np.asarray(image) / 255).reshape(-1, 3)
    nearest = np.argmin(((pixels[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)
    near = np.sqrt(((pixels - centres[nearest]) ** 2).sum(axis=1)) < 16
    return Counter({name: float(((nearest == i) & near).mean()) for i, name in enumerate(names)})


def of_kind(module: object, function: str, count: int, size: tuple[int, int] = (320, 320)) -> list[Picture]:
    """Pictures of one kind of a task, drawn directly."""
    draw_kind = getattr(module, function)
    return [draw_kind(Random(f"{function} {number}"), size) for number in range(count)]


# -- the pool as a whole


def test_one_seed_gives_the_same_bytes_and_another_seed_gives_others() -> None:
    first, again, other = (pool(seed, images=60)[0] for seed in (0, 0, 1))
    assert first == again
    assert list(first) == list(again)
    assert not {hashlib.sha256(data).digest() for data in first.values()} & {
        hashlib.sha256(data).digest() for data in other.values()
    }


def test_a_picture_does_not_depend_on_what_was_drawn_before_it() -> None:
    alone = draw("scene", 15, SEED)
    for index in range(5):
        draw("count", index, SEED)
    assert draw("scene", 15, SEED) == alone
    files, _ = pool(SEED, images=80)
    assert files[alone.key] == alone.data


def test_tasks_are_uneven_and_add_up_exactly() -> None:
    for images in (40, 41, 999, 2400, 10_007):
        counts = images_per_task(images)
        assert sum(counts.values()) == images
        assert min(counts.values()) >= 1
    counts = images_per_task(2400)
    assert len(counts) >= 10
    assert min(counts.values()) == 60
    assert max(counts.values()) == 560


def test_too_few_images_and_unknown_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="too few images"):
        images_per_task(10)
    with pytest.raises(InputError, match="no such task"):
        draw("sculpture", 0, 0)
    with pytest.raises(InputError, match="negative"):
        draw("scene", -1, 0)


def test_progress_counts_every_file_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    write_pool(lambda *_: None, images=40, salt=False, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 40) for done in range(1, 41)]


@pytest.mark.parametrize("task", TASKS)
def test_every_file_is_what_its_extension_says_and_has_a_sensible_size(task: str) -> None:
    formats = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF"}
    for index in range(30):
        drawn = draw(task, index, SEED)
        image = Image.open(io.BytesIO(drawn.data))
        assert image.format == formats[drawn.name.split(".")[1]]
        assert drawn.key == f"{task}/{drawn.name}"
        assert min(image.size) >= 64
        assert max(image.size) <= 640
        assert max(image.size) <= 2 * min(image.size)
        image.load()


@pytest.mark.parametrize("task", TASKS)
def test_a_million_is_an_index_like_any_other_and_pictures_differ(task: str) -> None:
    digests = {hashlib.sha256(sketch(task, 10**6 + n, SEED, longest=128).image.tobytes()).digest() for n in range(40)}
    assert len(digests) == 40


def test_a_smaller_sketch_has_the_same_truth() -> None:
    for task in TASKS:
        for index in range(12):
            small = sketch(task, index, SEED, longest=112)
            assert small.facts == sketch(task, index, SEED).facts
            assert max(small.image.size) <= 112


def test_the_pool_holds_all_formats() -> None:
    files, _ = pool(0, images=400)
    assert {key.rsplit(".", 1)[1] for key in files} == {"jpg", "jpeg", "png", "webp", "bmp", "tiff"}


# -- questions and answers


def facts_of(task: str, count: int = 150) -> list[Facts]:
    return [sketch(task, index, SEED, longest=96).facts for index in range(count)]


@pytest.mark.parametrize("task", TASKS)
def test_a_fixed_question_is_the_only_one_and_other_tasks_ask_several(task: str) -> None:
    fixed = TASKS[task].question
    for facts in facts_of(task, 60):
        assert all(qa.question.endswith(("?", ".")) and qa.answer.endswith(".") for qa in facts.questions)
        assert len({qa.question for qa in facts.questions}) == len(facts.questions)
        if fixed:
            assert [qa.question for qa in facts.questions] == [fixed]
    if not fixed:
        assert all(
            len({qa.answer for qa in facts.questions}) > 1 for facts in facts_of(task, 60) if len(facts.questions) > 1
        )
        assert np.mean([len(facts.questions) for facts in facts_of(task, 60)]) > 1.9


def test_the_vocabulary_is_closed_and_modest() -> None:
    words: Counter[str] = Counter()
    for task in TASKS:
        for facts in facts_of(task):
            for text in (facts.caption, *(part for qa in facts.questions for part in (qa.question, qa.answer))):
                words.update(re.findall(r"[a-z']+", text.lower()))
    assert len(words) < 400
    assert 50 <= len(WORDS) == len(set(WORDS)) <= 70


def test_answers_survive_a_file_and_foreign_files_are_refused(tmp_path: Path) -> None:
    files, answers = pool(0, images=60)
    answers.save(tmp_path / "answers.json")
    loaded = Answers.load(tmp_path / "answers.json")
    assert loaded == answers
    assert len(loaded) == 60
    for data in files.values():
        assert loaded.get(hashlib.sha256(data).hexdigest()) is not None
    assert loaded.get("0" * 64) is None
    (tmp_path / "other.json").write_text('{"format": 1, "facts": {"a": {}}}')
    for foreign in ("other.json", "missing.json"):
        with pytest.raises(IntegrityError):
            Answers.load(tmp_path / foreign)


# -- ground truth against the pixels


def test_the_colours_named_are_the_colours_seen() -> None:
    for picture in of_kind(colours, "_shapes", 25):
        seen = named_pixels(picture.image)
        named = {qa.answer.rstrip(".").rsplit(" ", 1)[1] for qa in picture.facts.questions}
        assert len(named) == len(picture.facts.questions)
        for colour in named:
            assert seen[colour] > 0.01, (colour, seen)
        for colour in {"red", "green", "purple", "orange", "pink", "yellow"} - named:
            assert seen[colour] < 0.01, (colour, seen)


def test_flag_stripes_are_named_from_top_to_bottom() -> None:
    for picture in of_kind(colours, "_flag", 20):
        for row, qa in zip((0.22, 0.39, 0.56), picture.facts.questions, strict=True):
            patch = picture.image.crop((200, int(320 * row) - 6, 260, int(320 * row) + 6))
            assert named_pixels(patch).most_common(1)[0][0] == qa.answer.rstrip(".").rsplit(" ", 1)[1]


def count_of(facts: Facts, question: str) -> int:
    answer = next(qa.answer for qa in facts.questions if qa.question == question)
    return next(NUMBERS.index(word) for word in re.findall(r"[a-z]+", answer.lower()) if word in NUMBERS)


def test_balls_are_as_many_as_connected_regions_of_saturated_colour() -> None:
    for picture in of_kind(counting, "_balls", 30, (400, 400)):
        for qa in picture.facts.questions[1:]:
            colour = re.search(r"many (\w+) balls", qa.question)
            assert colour is not None
            hsv = np.asarray(picture.image.convert("HSV")).astype(int)
            hue, vivid, _ = np.asarray(Image.new("RGB", (1, 1), NAMED[colour[1]]).convert("HSV")).astype(int)[0, 0]
            mask = (np.abs((hsv[:, :, 0] - hue + 128) % 256 - 128) < 10) & (hsv[:, :, 1] > 0.75 * vivid)
            # A ball's highlight is less saturated and a shadow is not a ball: close the one, open away the other.
            mask = ndimage.binary_opening(ndimage.binary_fill_holes(mask), iterations=3)
            assert ndimage.label(mask)[1] == count_of(picture.facts, qa.question), (colour[1], picture.facts)


def test_pencil_shapes_are_as_many_as_dark_outlines() -> None:
    for picture in of_kind(counting, "_pencil", 30, (400, 400)):
        dark = np.asarray(picture.image.convert("L")) < 110
        (qa,) = picture.facts.questions
        assert ndimage.label(dark, np.ones((3, 3)))[1] == count_of(picture.facts, qa.question)


def test_counts_of_shapes_and_colours_add_up() -> None:
    for picture in [counting._mixed(Random(n), (120, 120), dark=bool(n % 2)) for n in range(60)]:
        questions = [qa.question for qa in picture.facts.questions]
        total = count_of(picture.facts, "How many shapes are there in all?")
        by_colour = [q for q in questions[1:] if any(f"many {name} " in q for name in NAMED)]
        by_shape = [q for q in questions[1:] if q not in by_colour]
        assert total == sum(count_of(picture.facts, q) for q in by_shape)
        assert total == sum(count_of(picture.facts, q) for q in by_colour)


def test_a_relation_holds_between_the_centres_of_the_two_shapes() -> None:
    checked = 0
    for picture in of_kind(spatial, "_shapes", 60):
        found = re.fullmatch(
            r"The (\w+) (\w+) is (left of|right of|above|below) the (\w+) (\w+)\.", picture.facts.questions[0].answer
        )
        assert found is not None
        one, relation, other = found[1], found[3], found[4]
        if {one, other} & {"grey", "white", "black", "blue"}:  # tints of the ground or a shadow are too near to these
            continue
        centres = [centre_of(picture.image, colour) for colour in (one, other)]
        (x0, y0), (x1, y1) = centres
        assert {"left of": x0 < x1, "right of": x0 > x1, "above": y0 < y1, "below": y0 > y1}[relation]
        checked += 1
    assert checked > 15


def centre_of(image: Image.Image, colour: str) -> tuple[float, float]:
    difference = np.asarray(image).astype(int) - np.array(NAMED[colour])
    rows, columns = np.nonzero(np.abs(difference).max(axis=2) < 24)
    assert len(rows) > 100
    return float(columns.mean()), float(rows.mean())


def test_the_time_in_words() -> None:
    assert clocks.in_words(3, 0) == "three o'clock"
    assert clocks.in_words(3, 1) == "quarter past three"
    assert clocks.in_words(3, 2) == "half past three"
    assert clocks.in_words(12, 3) == "quarter to one"


def test_a_digit_looks_most_like_the_digits_of_its_name() -> None:
    """A nearest-mean classifier that never saw our drawing: 10 classes, so chance would be 0.1."""
    images, labels = digits._handwritten()
    means = np.array([images[np.array(labels) == digit].mean(axis=0).ravel() for digit in range(10)])
    right, total = 0, 60
    for number in range(total):
        image = digits.draw(Random(number), 200).image
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        grey = np.asarray(image.crop((left, top, left + side, top + side)).convert("L").resize((32, 32))).astype(float)
        ink = np.abs(grey - np.median(grey))
        rows, columns = np.nonzero(ink[3:29, 3:29] > ink[3:29, 3:29].max() * 0.5)
        box = (columns.min() + 2, rows.min() + 2, columns.max() + 5, rows.max() + 5)
        small = np.asarray(Image.fromarray(ink.astype(np.uint8)).resize((8, 8), box=tuple(map(float, box)))).astype(
            float
        )
        scores = [np.corrcoef(small.ravel(), mean)[0, 1] for mean in means]
        name = digits.draw(Random(number), 200).facts.caption.rstrip(".").split()[-1]
        right += (["zero", *NUMBERS[1:10]])[int(np.argmax(scores))] == name
    assert right / total > 0.55


def test_every_crop_of_a_photograph_holds_the_core_of_its_region() -> None:
    for region in photos.REGIONS:
        width, height = photos.photograph(region.file).size
        assert region.frame[2] <= width
        assert region.frame[3] <= height
        for number in range(30):
            left, top, right, bottom = photos._crop(Random(number), region)
            assert region.frame[0] <= left <= region.core[0]
            assert region.frame[1] <= top <= region.core[1]
            assert region.core[2] <= right <= region.frame[2]
            assert region.core[3] <= bottom <= region.frame[3]


def test_photographs_come_from_the_wheels_alone() -> None:
    with pytest.raises(InputError, match="no photograph"):
        photos.photograph("brain.tiff")


def test_plurals() -> None:
    plurals = {"star": "stars", "cross": "crosses", "fish": "fish", "cactus": "cacti", "dice": "dice"}
    assert {noun: plural(noun) for noun in plurals} == plurals
