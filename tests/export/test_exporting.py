"""An export holds what the version holds: pictures right, answers to the letter, whole, resumed, and nothing copied twice."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from presel import open_dataset
from presel.config import Trainer
from presel.dataset.texts import neutral
from presel.errors import ConfigError, IntegrityError
from presel.export import export_version
from presel.export.place import MARKER, UNFINISHED
from presel.sources.source import Source
from presel.storage import open_store
from tests.export.pool import Published, every_kind, photo, publish, read


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("odd"), every_kind())


@pytest.fixture(scope="module")
def everything(odd: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("all") / "export"
    export_version(odd.dataset, odd.exporting(to, *get_args(Trainer), validation=0.2))
    return to


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that are read from a source."""
    keys: list[str] = []
    read = Source.read_content

    def counted(self, key, *rest, **more):
        keys.append(key)
        return read(self, key, *rest, **more)

    monkeypatch.setattr(Source, "read_content", counted)
    return keys


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]


def both(folder: Path, pattern: str) -> list[dict]:
    return [row for side in ("train", "validation") for row in lines(folder / pattern.format(side))]


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name, but those that say where they lie."""
    files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in files.items() if file.name not in ("TRAIN.md", "next.yaml")}


def rows_of_hf(folder: Path) -> list[dict]:
    return [row for file in sorted((folder / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def right(odd: Published, row: dict, data: bytes) -> bool:
    return np.array_equal(read(data), odd.pixels(row))


def test_every_picture_is_what_was_instructed_and_bears_its_true_name(odd: Published, everything: Path) -> None:
    files = {file.stem: file for file in (everything / "images").iterdir()}
    assert files.keys() == {row["sample_id"] for row in odd.rows}
    for row in odd.rows:
        data = files[row["sample_id"]].read_bytes()
        kind = {".jpg": b"\xff\xd8\xff", ".png": b"\x89PNG"}[files[row["sample_id"]].suffix]
        assert data.startswith(kind)
        assert right(odd, row, data), row["key"]


def test_a_picture_that_needs_nothing_done_keeps_its_bytes(odd: Published, everything: Path) -> None:
    source = open_store(odd.config.source.uri)
    kept = {
        row["key"].partition("/")[2]
        for row in odd.rows
        if any(
            file.read_bytes() == source.read(row["key"])
            for file in (everything / "images").glob(f"{row['sample_id']}.*")
        )
    }
    assert {"baseline.jpg", "progressive.jpg", "rgb.png", "no extension"} <= kept
    assert not kept & {"grey.jpg", "cmyk.jpg", "exif.jpg", "rgba.png", "palette.png", "deep.png", "still.gif"}


def test_the_hugging_face_folder_holds_every_record(odd: Published, everything: Path) -> None:
    rows = {row["id"]: row for row in rows_of_hf(everything / "hf")}
    assert rows.keys() == {row["sample_id"] for row in odd.rows}
    for row in odd.rows:
        got = rows[row["sample_id"]]
        assert right(odd, row, got["images"][0]["bytes"])
        assert got["images"][0]["path"].startswith(row["sample_id"])
        question, answer = (neutral(row["turns"][0][name]) for name in ("question", "response"))
        assert got["conversations"] == [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": answer},
        ]
        assert got["messages"][0]["content"] == [{"type": "image", "text": None}, {"type": "text", "text": question}]
        assert got["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": answer}]}


def test_the_card_has_a_full_header_and_names_the_files_of_each_split(everything: Path) -> None:
    _, header, body = (everything / "hf/README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(header)
    assert (told["license"], told["language"], told["size_categories"]) == ("cc-by-4.0", ["en"], ["n<1K"])
    files = told["configs"][0]["data_files"]
    assert [each["split"] for each in files] == ["train", "validation"]
    assert all(list((everything / "hf").glob(each["path"])) for each in files)
    assert "Drawn here." in body
    assert "held out" in body.lower()


def test_croissant_says_where_pictures_and_turns_lie(everything: Path) -> None:
    """As mlcroissant reads it: it went through this document and gave every record with its pictures (docs/export.md)."""
    told = json.loads((everything / "hf/croissant.json").read_text())
    known = {word for word, meaning in told["@context"].items() if "cr:" in json.dumps(meaning)}
    fields = {field["name"]: field for field in told["recordSet"][0]["field"]}
    assert fields.keys() == {"id", "task", "images", "conversations"}
    assert {"containedIn", "repeated", "subField", "transform", "jsonPath"} <= known
    assert fields["images"]["repeated"]
    assert fields["images"]["source"]["transform"] == {"jsonPath": "bytes"}
    assert [part["source"]["transform"]["jsonPath"] for part in fields["conversations"]["subField"]] == [
        "from",
        "value",
    ]


def test_messages_and_turns_of_every_trainer_say_what_the_version_says(odd: Published, everything: Path) -> None:
    wanted = sorted(neutral(row["turns"][0]["response"]) for row in odd.rows)
    llava = [
        row for side in ("train", "validation") for row in json.loads((everything / f"llava/{side}.json").read_text())
    ]
    assert sorted(row["conversations"][1]["value"] for row in llava) == wanted
    assert sorted(row["conversations"][1]["value"] for row in both(everything / "llama-factory", "{}.jsonl")) == wanted
    assert sorted(row["messages"][1]["content"] for row in both(everything / "ms-swift", "{}.jsonl")) == wanted
    assert sorted(row["completion"][0]["content"][0]["text"] for row in both(everything / "trl", "{}.jsonl")) == wanted
    assert sorted(row["conversations"][1]["value"] for row in both(everything / "internvl", "{}.jsonl")) == wanted
    for row in llava:
        assert (everything / row["image"]).is_file()
        assert [turn["value"].count("<image>") for turn in row["conversations"]] == [1, 0]


def test_data_urls_hold_the_pictures(odd: Published, everything: Path) -> None:
    rows = [row for file in sorted((everything / "openai").glob("*.jsonl")) for row in lines(file)]
    urls = [row["messages"][0]["content"][1]["image_url"]["url"] for row in rows]
    shown = [read(base64.b64decode(url.partition(",")[2])) for url in urls]
    assert len(rows) == len(odd.rows)
    assert all(row.keys() == {"messages"} for row in rows)
    for row in odd.rows:
        assert any(np.array_equal(picture, odd.pixels(row)) for picture in shown)


def test_shards_hold_one_kind_of_picture_beside_each_record(odd: Published, everything: Path) -> None:
    members: dict[str, bytes] = {}
    for shard in sorted((everything / "webdataset").glob("*.tar")):
        with tarfile.open(shard) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}
    assert {name.rpartition(".")[2] for name in members} == {"png", "json"}
    for row in odd.rows:
        assert right(odd, row, members[f"{row['sample_id']}.png"])
        assert json.loads(members[f"{row['sample_id']}.json"])["id"] == row["sample_id"]


def test_every_folder_says_how_to_train(everything: Path) -> None:
    for name in get_args(Trainer):
        assert str(everything) in (everything / name / "TRAIN.md").read_text()


def test_several_turns_are_several_rows_where_only_the_last_answer_is_trained(tmp_path: Path) -> None:
    made = publish(tmp_path, {"a/1.jpg": photo(1)}, turns=3)
    export_version(made.dataset, made.exporting(tmp_path / "out", "trl", "llava", validation=0))
    rows = lines(tmp_path / "out/trl/train.jsonl")
    assert [len(row["prompt"]) for row in rows] == [1, 3, 5]
    [whole] = json.loads((tmp_path / "out/llava/train.json").read_text())
    assert [turn["from"] for turn in whole["conversations"]] == ["human", "gpt"] * 3


def test_an_export_is_written_whole_in_a_folder_and_on_s3(uri: str, tmp_path: Path) -> None:
    made = publish(tmp_path, {f"a/{i}.jpg": photo(i) for i in range(5)})
    address = export_version(made.dataset, made.exporting(f"{uri}/out", "hf", "llava", validation=0))
    place = open_store(address)
    assert json.loads(place.read(MARKER))["records"] == {"train": 5, "validation": 0}
    assert not place.exists(UNFINISHED)
    names = {entry.path for entry in place.list()}
    assert sum(name.startswith("images/") for name in names) == 5
    [shard] = [name for name in names if name.endswith(".parquet")]
    assert pq.read_table(io.BytesIO(place.read(shard))).num_rows == 5


def test_the_same_version_gives_the_same_bytes_and_a_second_export_reads_nothing(
    odd: Published, tmp_path: Path, reads
) -> None:
    for name in ("one", "two"):
        export_version(odd.dataset, odd.exporting(tmp_path / name / "x", "hf", "webdataset"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    reads.clear()
    export_version(odd.dataset, odd.exporting(tmp_path / "one/x", "hf", "webdataset"))
    assert not reads


@pytest.mark.parametrize("trainer", ["hf", "llava", "webdataset"])
def test_a_later_version_copies_only_what_is_new(trainer: str, tmp_path: Path, reads) -> None:
    pictures = {f"a/{i}.jpg": photo(i) for i in range(8)}
    first = publish(tmp_path, dict(list(pictures.items())[:6]))
    export_version(first.dataset, first.exporting(tmp_path / "out", trainer, validation=0))
    second = publish(tmp_path, pictures, number=2)
    reads.clear()
    export_version(second.dataset, second.exporting(tmp_path / "out", trainer, validation=0))
    assert sorted(reads) == ["a/6.jpg", "a/7.jpg"]
    export_version(second.dataset, second.exporting(tmp_path / "fresh", trainer, validation=0))
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("trainer", ["hf", "llava"])
def test_a_picture_that_changed_ends_the_export_in_words_and_leaves_no_marker(trainer: str, tmp_path: Path) -> None:
    made = publish(tmp_path, {f"a/{i}.jpg": photo(i) for i in range(4)})
    open_store(made.config.source.uri).write("a/2.jpg", photo(99))
    with pytest.raises(IntegrityError, match=r"a/2\.jpg.*cannot be exported") as caught:
        export_version(made.dataset, made.exporting(tmp_path / "out", trainer))
    assert next(row["sample_id"] for row in made.rows if row["key"] == "a/2.jpg") in str(caught.value)
    assert not (tmp_path / "out" / MARKER).exists()
    open_store(made.config.source.uri).write("a/2.jpg", photo(2))
    export_version(made.dataset, made.exporting(tmp_path / "out", trainer))
    assert (tmp_path / "out" / MARKER).exists()


def test_an_export_that_was_killed_goes_on_from_its_last_shard(tmp_path: Path, reads, monkeypatch) -> None:
    made = publish(tmp_path, {f"a/{i}.jpg": photo(i) for i in range(9)})
    monkeypatch.setattr("presel.export.formats.hf.MOST", (1 << 40, 3))
    gone = made.rows[7]["key"]
    data = open_store(made.config.source.uri).read(gone)
    open_store(made.config.source.uri).delete(gone)
    with pytest.raises(IntegrityError):
        export_version(made.dataset, made.exporting(tmp_path / "out", validation=0))
    assert len(list((tmp_path / "out/data").glob("*.parquet"))) == 2
    open_store(made.config.source.uri).write(gone, data)
    reads.clear()
    export_version(made.dataset, made.exporting(tmp_path / "out", validation=0))
    assert set(reads) == {row["key"] for row in made.rows[6:]}
    assert [row["id"] for row in rows_of_hf(tmp_path / "out")] == [row["sample_id"] for row in made.rows]


def test_pictures_are_shrunk_and_written_as_jpeg_if_asked(odd: Published, tmp_path: Path) -> None:
    export_version(odd.dataset, odd.exporting(tmp_path / "out", "llava", longest=32, jpeg=90))
    files = list((tmp_path / "out").glob("images-*/*"))
    assert {file.suffix for file in files} == {".jpg"}
    assert {max(read(file.read_bytes()).shape) for file in files} == {32}


def test_a_data_set_that_was_opened_from_python_exports_itself(tmp_path: Path) -> None:
    made = publish(tmp_path, {f"a/{i}.jpg": photo(i) for i in range(3)})
    data = open_dataset(made.config.store, "odd", source=made.config.source.uri)
    assert data.export(tmp_path / "out", ["llava", "hf"], validation=0, license="mit") == str(tmp_path / "out")
    assert len(json.loads((tmp_path / "out/llava/train.json").read_text())) == 3
    assert "license: mit" in (tmp_path / "out/hf/README.md").read_text()
    with pytest.raises(ConfigError, match="setting of the export"):
        data.export(tmp_path / "out", "hff")


def test_a_version_of_an_older_presel_is_exported(tmp_path: Path) -> None:
    made = publish(tmp_path, {f"a/{i}.jpg": photo(i) for i in range(3)}, digests="content", without=("plain",))
    export_version(made.dataset, made.exporting(tmp_path / "out", validation=0))
    assert {row["id"] for row in rows_of_hf(tmp_path / "out")} == {row["sample_id"] for row in made.rows}
