"""Every listed image ends as a row or as a reject, whatever it is and whatever happens while it is read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from presel import encoders
from presel.concurrency import progress
from presel.config import EncoderConfig, ImageConfig, SourceConfig
from presel.config.keys import digest
from presel.encoders import feeding
from presel.encoders.builtin import BuiltinEncoder
from presel.encoders.encoder import Pixels
from presel.images.decoder import Decoder
from presel.images.decoders import Decoders
from presel.stages.embed import embed_part
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef, embeddings
from presel.tables.vectors import unit_vectors
from tests.image_files import TINY_CLIP, encoded, files, photograph
from tests.s3_faults import FAULTS, faulty
from tests.stages.pools import ENCODER, catalogue, keys, picture, put
from tests.storage_servers import address

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def tower_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights of a small CLIP, as a file."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tower")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    state = open_clip.create_model("tiny-clip").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "tiny.safetensors")
    return str(folder / "tiny.safetensors")


def embed(uri: str, store: str, encoder: EncoderConfig = ENCODER, part_size: int = 1000) -> TableRef:
    (part,) = catalogue(uri, store, part_size).split()
    return embed_part(part, SourceConfig(uri=uri), encoder)


def fates(ref: TableRef) -> dict[str, str]:
    rejected = {row["key"]: row["reason"] for row in table_store.rejects(ref).to_pylist()}
    return rejected | dict.fromkeys(table_store.read(ref)["key"].to_pylist(), "usable")


def test_rows_are_unit_vectors_in_key_order_with_what_the_picture_is(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("b", 3, 1), *keys("a", 2))
    ref = embed(uri, str(tmp_path / "store"))
    table = table_store.read(ref)
    assert table.schema == embeddings(BuiltinEncoder.dimensions)
    assert table["key"].to_pylist() == ["a/002.jpg", "b/001.jpg", "b/003.jpg"]
    assert table["content"].to_pylist() == [digest(open_store(uri).read(key)) for key in table["key"].to_pylist()]
    assert set(table["width"].to_pylist()) == {64}
    assert set(table["format"].to_pylist()) == {"JPEG"}
    raw = np.stack(table["vector"].to_numpy())
    assert np.allclose(np.linalg.norm(raw.astype(np.float64), axis=1), 1, atol=2e-3)


def test_every_image_ends_as_a_row_or_a_reject(uri: str, tmp_path: Path) -> None:
    store = open_store(uri)
    put(uri, *keys("a", *range(20)))
    for name, data in files().items():
        store.write(f"a/{name}", data)
        store.write(f"a/cut {name}", data[: len(data) * 2 // 3])
    store.write("a/page.jpg", b"<html>403</html>")
    store.write("a/thin.png", encoded(Image.new("RGB", (4000, 1)), "PNG"))
    ref = embed(uri, str(tmp_path / "store"))
    ends = fates(ref)
    assert ref.rows + ref.rejects == len(ends) == 20 + 2 * len(files()) + 2
    assert {ends[f"a/{name}"] for name in files()} == {"usable"}
    assert ends["a/cut moving.gif"] == "usable"  # its first picture is whole
    assert {ends[f"a/cut {name}"] for name in files() if name != "moving.gif"} <= {"truncated", "undecodable"}
    assert (ends["a/page.jpg"], ends["a/thin.png"]) == ("not_an_image", "too_small")


def test_a_pool_that_changes_while_it_is_read_ends_in_rows(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(6)))
    (part,) = catalogue(uri, str(tmp_path / "store")).split()
    open_store(uri).delete("a/001.jpg")
    open_store(uri).write("a/002.jpg", picture(777) + b"tail")
    ends = fates(embed_part(part, SourceConfig(uri=uri), ENCODER))
    assert ends.pop("a/001.jpg") == "unreadable"
    assert ends.pop("a/002.jpg") == "changed"
    assert set(ends.values()) == {"usable"}


def test_vectors_do_not_depend_on_batches_or_parts(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(23)))

    def vectors(name: str, batch: int, part_size: int) -> dict[str, bytes]:
        source, store = SourceConfig(uri=uri), str(tmp_path / name)
        encoder = ENCODER.model_copy(update={"batch_size": batch})
        refs = [embed_part(part, source, encoder) for part in catalogue(uri, store, part_size).split()]
        tables = [table_store.read(ref) for ref in refs]
        return {
            key: vector.tobytes()
            for table in tables
            for key, vector in zip(table["key"].to_pylist(), np.stack(table["vector"].to_numpy()), strict=True)
        }

    assert vectors("one", 64, 1000) == vectors("other", 3, 7)


@pytest.mark.parametrize("name", ["builtin", "open_clip"])
def test_the_same_pool_in_another_order_and_other_parts_has_the_same_vectors(
    tmp_path: Path, name: str, tower_weights: str
) -> None:
    encoder = ENCODER if name == "builtin" else EncoderConfig(name=f"open_clip:tiny-clip/{tower_weights}", device="cpu")
    everything = {**{key: picture(number) for number, key in enumerate(keys("a", *range(20)))}, **files()}

    def vectors(order: list[str], folder: str, batch: int, part_size: int) -> dict[str, bytes]:
        uri, store = str(tmp_path / folder), str(tmp_path / f"store-{folder}")
        for number, key in enumerate(order):  # in another order, and under other names: listed in another order, too
            open_store(uri).write(f"a/{number:03d}", everything[key])
        config = encoder.model_copy(update={"batch_size": batch})
        refs = [embed_part(part, SourceConfig(uri=uri), config) for part in catalogue(uri, store, part_size).split()]
        return {
            row["content"]: np.asarray(row["vector"]).tobytes()
            for ref in refs
            for row in table_store.read(ref).to_pylist()
        }

    one = vectors(list(everything), "one", 64, 1000)
    other = vectors(list(everything)[::-1], "other", 5, 7)
    assert len(one) == len(everything)
    assert one == other


def test_parts_embedded_at_the_same_time_share_threads_and_stay_apart(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(40)))
    source = SourceConfig(uri=uri)

    def digests(name: str, threads: int) -> list[str]:
        parts = catalogue(uri, str(tmp_path / name), 7).split()
        with ThreadPoolExecutor(threads) as pool:
            return [ref.digest for ref in pool.map(lambda part: embed_part(part, source, ENCODER), parts)]

    assert digests("one by one", 1) == digests("at once", 6)


def test_two_runs_give_the_same_bytes(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(12)))
    open_store(uri).write("a/bad.jpg", b"no")
    one, other = (embed(uri, str(tmp_path / name)) for name in ("one", "other"))
    assert (one.key, one.digest) == (other.key, other.digest)
    assert table_store.rejects(one).equals(table_store.rejects(other))


def test_a_misbehaving_store_costs_only_what_cannot_be_had(server: str, tmp_path: Path) -> None:
    """503 SlowDown, reset connections, cut bodies, wrong lengths and slow ones are outlasted; 403 is one image's fate."""
    uri = address("s3", tmp_path)
    faults = ["fine", *FAULTS]
    put(uri, *(f"{fault}/{number}.jpg" for fault in faults for number in range(3)))
    contents = {key: digest(open_store(uri).read(key)) for key in (entry.path for entry in open_store(uri).list())}
    with faulty(server):
        ref = embed(uri, str(tmp_path / "store"))
    ends = fates(ref)
    lost = {f"{fault}/{number}.jpg" for fault in ("always-short", "forbidden") for number in range(3)}
    assert {key for key, end in ends.items() if end == "unreadable"} == lost
    lost |= {key for key in contents if key.startswith("always-zeros/")}
    assert {ends[key] for key in contents if key.startswith("always-zeros/")} == {"not_an_image"}  # what lies there
    assert {key for key, end in ends.items() if end == "usable"} == set(contents) - lost
    table = table_store.read(ref)
    got = dict(zip(table["key"].to_pylist(), table["content"].to_pylist(), strict=True))
    assert got == {key: content for key, content in contents.items() if key not in lost}


def test_a_killed_part_leaves_nothing_and_is_made_again_whole(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(30)))
    (part,) = catalogue(uri, store, 100).split()
    (tmp_path / "part.json").write_text(part.model_dump_json())
    script = f"""
import os, signal
from presel.concurrency import progress
from presel.config import EncoderConfig, SourceConfig
from presel.stages.embed import embed_part
from presel.tables.schemas import TableRef
part = TableRef.model_validate_json(open({str(tmp_path / "part.json")!r}).read())
with progress.listening(lambda event: event.done >= 16 and os.kill(os.getpid(), signal.SIGKILL)):
    embed_part(part, SourceConfig(uri={uri!r}), EncoderConfig(name="builtin", batch_size=8))
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not list(open_store(store).list("tables/embed/"))
    whole = embed_part(part, SourceConfig(uri=uri), ENCODER)
    assert whole.rows == 30
    assert whole.digest == embed(uri, str(tmp_path / "elsewhere")).digest


EMBEDDING = """
import os, signal, sys
from presel.concurrency import progress
from presel.config import EncoderConfig, SourceConfig
from presel.stages.embed import embed_part
from presel.tables.schemas import TableRef
catalog = TableRef.model_validate_json(open(sys.argv[1]).read())
seen = [0]
def listen(event):
    seen[0] += 1
    if seen[0] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
with progress.listening(listen):
    for part in catalog.split():
        embed_part(part, SourceConfig(uri=sys.argv[2], part_size=10), EncoderConfig(name="builtin", batch_size=4))
"""


def test_a_run_killed_again_and_again_embeds_no_part_twice_and_misses_none(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(40)))
    catalog = catalogue(uri, store, 10)
    (tmp_path / "catalog.json").write_text(catalog.model_dump_json())
    command = [sys.executable, "-c", EMBEDDING, str(tmp_path / "catalog.json"), uri, "5"]  # a part tells three times
    made: dict[Path, float] = {}
    ended = -signal.SIGKILL
    while ended == -signal.SIGKILL:
        ended = subprocess.run(command, check=False).returncode
        times = {file: file.stat().st_mtime for file in (tmp_path / "store/tables/embed").glob("*/manifest.json")}
        assert {file: times[file] for file in made} == made  # what was there was not made again
        assert len(times) > len(made)
        made = times
    assert ended == 0
    assert len(made) == len(catalog.split()) == 4
    refs = [embed_part(part, SourceConfig(uri=uri, part_size=10), ENCODER) for part in catalog.split()]
    assert sorted(key for ref in refs for key in table_store.read(ref)["key"].to_pylist()) == keys("a", *range(40))


CRASHER = """
import ctypes
import simplejpeg
from PIL import ImageFile
load, decode_jpeg = ImageFile.ImageFile.load, simplejpeg.decode_jpeg
def crashing(self):
    if self.size == (61, 47):
        ctypes.string_at(0)
    return load(self)
def crashing_jpeg(data, *args, **asked):
    if simplejpeg.decode_jpeg_header(data)[:2] == (47, 61):
        ctypes.string_at(0)
    return decode_jpeg(data, *args, **asked)
ImageFile.ImageFile.load, simplejpeg.decode_jpeg = crashing, crashing_jpeg
"""
"""Run by every Python process with its folder in PYTHONPATH: a decoder that dies of a segmentation fault at one size."""


@pytest.mark.parametrize("name", ["builtin", "tower"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_that_crashes_its_decoder_is_lost_alone_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, name: str
) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(30)))
    open_store(uri).write("a/015-deadly", encoded(photograph(61, 47), format))
    (tmp_path / "sitecustomize.py").write_text(CRASHER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(feeding, "decoders", lambda _: fresh)  # others of this process have started without it
    if name == "tower":
        monkeypatch.setattr(encoders, "load_encoder", lambda _: Faulty())
    fresh = Decoders([Decoder(), Decoder()])
    ref = embed(uri, store)
    fresh.close()
    (row,) = table_store.rejects(ref).to_pylist()
    assert ref.rows == 30
    assert (row["key"], row["reason"]) == ("a/015-deadly", "undecodable")
    assert row["detail"] == f"{format}: its decoder crashed (SIGSEGV)"


def test_what_could_not_be_read_is_read_at_the_next_run_and_the_rest_is_not(server: str, tmp_path: Path) -> None:
    uri, store = address("s3", tmp_path), str(tmp_path / "store")
    put(uri, *keys("a", *range(5)), "a/forbidden/x.jpg", "a/always-short/y.jpg")
    open_store(uri).write("a/broken.jpg", b"no picture")
    with faulty(server):
        first = embed(uri, store)
        again = embed(uri, store)
    assert {key for key, end in fates(first).items() if end == "unreadable"} == {
        "a/forbidden/x.jpg",
        "a/always-short/y.jpg",
    }
    assert again.key == f"{first.key}-1"
    assert (again.digest, again.rows) == (first.digest, first.rows)  # nothing after it is done again
    healed = embed(uri, store)
    assert table_store.facts(healed)["images"] == 2
    assert fates(healed) == {**dict.fromkeys(fates(first), "usable"), "a/broken.jpg": "not_an_image"}
    assert healed.parts[:1] == first.parts
    assert embed(uri, store) == healed
    for key in (first.key, again.key):  # as `presel gc` may do
        open_store(store).delete(f"tables/embed/{key}/manifest.json")
    assert embed(uri, store) == healed
    rows = {row["key"]: row for row in table_store.read(healed).to_pylist()}
    whole = {row["key"]: row for row in table_store.read(embed(uri, str(tmp_path / "fresh"))).to_pylist()}
    assert rows == whole


def test_an_object_that_returns_under_its_old_etag_is_no_longer_changed(tmp_path: Path) -> None:
    uri, store = address("s3", tmp_path), str(tmp_path / "store")
    put(uri, *keys("a", *range(3)))
    (part,) = catalogue(uri, store).split()
    kept = open_store(uri).read("a/001.jpg")
    open_store(uri).write("a/001.jpg", picture(5))
    assert fates(embed_part(part, SourceConfig(uri=uri), ENCODER))["a/001.jpg"] == "changed"
    open_store(uri).write("a/001.jpg", kept)
    assert set(fates(embed(uri, store)).values()) == {"usable"}


def test_a_part_that_read_everything_has_one_key_whatever_it_refused(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", 1))
    open_store(uri).write("a/broken.jpg", b"no picture")
    first = embed(uri, store)
    assert first.rejects == 1
    assert embed(uri, store) == first


class Faulty(BuiltinEncoder):
    """Gives a vector of zeros for one picture and NaN for another, as a broken model would."""

    identity = "faulty"
    preparation = None  # as a tower, it gets the pixels

    def prepare(self, image: Pixels, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        vector, shades = super().prepare(image), np.unique(np.asarray(image)).tolist()
        if shades == [0]:
            vector[:] = 0
        elif shades == [255]:
            vector[5] = np.nan
        return vector


def test_a_vector_of_zeros_or_nan_is_a_reject_and_stops_nothing(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_encoder", lambda _: Faulty())
    put(uri, *keys("a", *range(5)))
    open_store(uri).write("a/black.png", encoded(Image.new("RGB", (50, 50)), "PNG"))
    open_store(uri).write("a/white.png", encoded(Image.new("RGB", (50, 50), "white"), "PNG"))
    ends = fates(embed(uri, str(tmp_path / "store")))
    assert ends.pop("a/black.png") == ends.pop("a/white.png") == "not_finite"
    assert set(ends.values()) == {"usable"}


def test_an_object_too_large_for_any_admitted_picture_is_not_read(tmp_path: Path) -> None:
    uri = str(tmp_path / "pool")
    put(uri, *keys("a", 1))
    limits = ImageConfig(max_pixels=10)
    ends = table_store.rejects(embed(uri, str(tmp_path / "store"), ENCODER.model_copy(update={"images": limits})))
    assert [(row["reason"], "bytes, more than" in row["detail"]) for row in ends.to_pylist()] == [
        ("too_many_pixels", True)
    ]


def test_a_part_without_one_usable_image_is_an_empty_table(uri: str, tmp_path: Path) -> None:
    open_store(uri).write("a/one.jpg", b"not a picture")
    ref = embed(uri, str(tmp_path / "store"))
    assert (ref.rows, ref.rejects) == (0, 1)
    assert table_store.read(ref).schema == embeddings(BuiltinEncoder.dimensions)


def test_the_three_times_are_measured_apart_and_progress_is_told(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("a", *range(20)))
    heard: list[progress.Progress] = []
    with progress.listening(heard.append):
        facts = table_store.facts(embed(uri, str(tmp_path / "store")))
    assert facts["images"] == 20
    assert all(facts[f"{what}_seconds"] > 0 for what in ("read", "decode", "compute", "wall"))
    told = [(event.done, event.total) for event in heard if event.stage == "embed"]
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_the_key_follows_what_is_computed_and_not_how(tmp_path: Path) -> None:
    uri = str(tmp_path / "pool")
    put(uri, *keys("a", 1))
    (part,) = catalogue(uri, str(tmp_path / "store")).split()
    source = SourceConfig(uri=uri)

    def key(encoder: EncoderConfig) -> str:
        return embed_part.key({"part": part, "source": source, "encoder": encoder})

    assert key(ENCODER) == key(ENCODER.model_copy(update={"batch_size": 1, "device": "cpu"}))
    assert key(ENCODER) != key(ENCODER.model_copy(update={"images": ImageConfig(min_side=9)}))


def test_vectors_of_a_gpu_have_keys_of_their_own_and_a_cpu_has_the_one_it_always_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "pool")
    put(uri, *keys("a", 1))
    (part,) = catalogue(uri, str(tmp_path / "store")).split()
    monkeypatch.setattr("presel.encoders.identity", lambda _: "the same tower")

    def key(device: str, gpu: bool, name: str = "timm:tower") -> str:
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
        encoder = EncoderConfig.model_validate({"name": name, "device": device})
        return embed_part.key({"part": part, "source": SourceConfig(uri=uri), "encoder": encoder})

    assert key("auto", gpu=False) == key("cpu", gpu=False) == key("cpu", gpu=True)
    assert key("auto", gpu=True) == key("cuda", gpu=True) == key("cuda", gpu=False) != key("cpu", gpu=True)
    assert key("auto", gpu=True, name="builtin") == key("auto", gpu=False, name="builtin")


def test_opposite_pictures_are_farther_apart_than_alike_ones(tmp_path: Path) -> None:
    uri = str(tmp_path / "pool")
    for name, colour in (("red", (200, 30, 30)), ("reddish", (190, 40, 35)), ("blue", (20, 40, 220))):
        open_store(uri).write(f"a/{name}.png", encoded(Image.new("RGB", (64, 64), colour), "PNG"))
    table = table_store.read(embed(uri, str(tmp_path / "store")))
    vectors = dict(zip(table["key"].to_pylist(), unit_vectors(table), strict=True))
    alike = vectors["a/red.png"] @ vectors["a/reddish.png"]
    assert alike > vectors["a/red.png"] @ vectors["a/blue.png"]
