"""Tasks from a table or an existing dataset: what each file says, on a folder and on S3, through ingest to samples."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from presel.config import SourceConfig
from presel.errors import ConfigError
from presel.sources import Source, open_source, records
from presel.stages.assemble import assemble
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.stages.pools import ENCODER, keys, put

ROWS = [("x/1.jpg", "chart"), ("x/2.jpg", "photo"), ("3.jpg", "photo"), ("3.jpg", "chart"), ("gone.jpg", "photo")]


pytestmark = pytest.mark.usefixtures("server")


def as_file(kind: str, rows: list[tuple[str, str]]) -> bytes:
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(
            pa.table({"task": [t for _, t in rows], "n": range(len(rows)), "key": [k for k, _ in rows]}), sink
        )
        return sink.getvalue()
    if kind == "jsonl":
        return "".join(json.dumps({"key": k, "task": t, "more": [1]}) + "\n" for k, t in rows).encode()
    return ("more,key,task\n" + "".join(f'1,"{k}",{t}\n' for k, t in rows)).encode()


def mapped(uri: str, data: bytes, name: str = "map.csv", tasks: str = "table") -> SourceConfig:
    """A source whose mapping lies beside it on the same store."""
    open_store(uri + "-maps").write(name, data)
    return SourceConfig.model_validate({"uri": uri, "tasks": tasks, "mapping": f"{uri}-maps/{name}", "part_size": 4})


def assert_says(source: Source, told: dict[str, tuple[str, ...]]) -> None:
    """The mapping names these keys, with these tasks, and no others."""
    assert {key: source.tasks_of(key) for key in told} == told
    assert source.task_map is not None
    assert len(source.task_map) == len(told)
    assert source.tasks_of("not named.jpg") == source.tasks_of("") == ()


def images(catalog: TableRef) -> list[tuple[str, str]]:
    return [(row["key"], row["task"]) for row in table_store.read(catalog).to_pylist()]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_says_each_keys_tasks_and_what_it_does_not_name_is_a_reject(
    uri: str, tmp_path: Path, kind: str
) -> None:
    put(uri, "x/1.jpg", "x/2.jpg", "3.jpg", "x/unnamed.jpg")
    catalog = ingest(mapped(uri, as_file(kind, ROWS), f"map.{kind}"), str(tmp_path / "store"))
    assert images(catalog) == [("3.jpg", "chart"), ("3.jpg", "photo"), ("x/1.jpg", "chart"), ("x/2.jpg", "photo")]
    refused = [(row["key"], row["reason"], row["detail"]) for row in table_store.rejects(catalog).to_pylist()]
    assert refused == [("x/unnamed.jpg", "no_task", "the mapping does not name it")]
    facts = table_store.facts(catalog)
    assert facts["listed"] == {"": 1, "chart": 2, "photo": 2}
    assert facts["absent"] == 1


def test_an_image_of_several_tasks_is_a_sample_in_each(uri: str, tmp_path: Path) -> None:
    put(uri, "x/1.jpg", "x/2.jpg", "3.jpg")
    source, store = mapped(uri, as_file("csv", ROWS)), str(tmp_path / "store")
    catalog = ingest(source, store)
    samples = assemble(catalog, [embed_part(part, source, ENCODER) for part in catalog.split()])
    chart, photo = (table_store.read(part).to_pylist() for part in samples.split())
    assert {row["key"] for row in chart} == {"3.jpg", "x/1.jpg"}
    assert {row["key"] for row in photo} == {"3.jpg", "x/2.jpg"}
    both = [row for row in chart + photo if row["key"] == "3.jpg"]
    assert both[0]["content"] == both[1]["content"]
    assert both[0]["vector"] == both[1]["vector"]
    assert both[0]["sample_id"] != both[1]["sample_id"]


def test_a_changed_mapping_is_another_catalog_and_only_its_changes_are_new(uri: str, tmp_path: Path) -> None:
    put(uri, *keys("x", *range(8)))
    rows = [(key, "chart") for key in keys("x", *range(8))]
    store = str(tmp_path / "store")
    first = ingest(mapped(uri, as_file("csv", rows)), store)
    assert ingest(mapped(uri, as_file("csv", rows)), store) == first
    rows[2] = (rows[2][0], "photo")
    second = ingest(mapped(uri, as_file("csv", rows)), store)
    assert second.parts[: len(first.parts)] == first.parts
    assert [part.rows for part in second.parts[len(first.parts) :]] == [1]
    facts = table_store.facts(second)
    assert [facts[name] for name in ("new", "kept", "changed", "removed")] == [0, 7, 1, 0]
    samples = assemble(second, [embed_part(p, mapped(uri, as_file("csv", rows)), ENCODER) for p in second.split()])
    assert [(part.label, part.rows) for part in samples.parts] == [("chart", 7), ("photo", 1)]


def test_the_mappings_content_is_in_the_key_even_if_it_changes_no_row(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("x", 1))
    rows = [("x/001.jpg", "chart")]
    one = ingest(mapped(uri, as_file("csv", rows)), store)
    moved = ingest(mapped(uri, as_file("csv", rows), "elsewhere.csv"), store)
    other = ingest(mapped(uri, as_file("csv", [*rows, ("later.jpg", "photo")])), store)
    assert one.key == moved.key != other.key
    assert one.parts == other.parts


def test_keys_of_a_mapping_may_be_whole_addresses(uri: str, tmp_path: Path) -> None:
    put(uri, "x/1.jpg")
    source = open_source(mapped(uri, as_file("csv", [(f"{uri}/x/1.jpg", "chart")])))
    assert source.tasks_of("x/1.jpg") == ("chart",)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("map.csv", b"image,label\na.jpg,chart\n"),
        ("map.csv", b"key,task\n"),
        ("map.csv", b"key,task\n,\n"),
        ("map.jsonl", b'{"key": "a.jpg", "task": 7}\n'),
        ("map.parquet", b"not parquet"),
        ("map.parquet", b""),
        ("map.csv", b""),
        ("map.csv", b"\xff\xfekey,task\n"),
        ("map.csv.gz", gzip.compress(b"key,task\na,b\n" * 99)[:-9]),
        ("map.jsonl", b'["a.jpg", "chart"]\n'),
        ("map.xlsx", b"PK"),
    ],
)
def test_a_mapping_that_says_nothing_ends_before_anything_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"mapping|table"):
        ingest(mapped(str(tmp_path / "pool"), data, name), str(tmp_path / "store"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("map.csv", b'\xef\xbb\xbfkey,task\r\n"a, b.jpg",chart\r\n"new\nline.jpg",photo\r\nshort row\r\n'),
        ("map.csv.gz", gzip.compress(b'task,key\nchart,"a, b.jpg"\nphoto,"new\nline.jpg"\n')),
        (
            "map.jsonl",
            b'\xef\xbb\xbf{"key": "a, b.jpg", "task": "chart"}\r\n{"task": "photo", "key": "new\\nline.jpg"}\r\n{}',
        ),
        (
            "map.ndjson.gz",
            gzip.compress(b'{"key": "a, b.jpg", "task": "chart"}\n{"task": "photo", "key": "new\\nline.jpg"}'),
        ),
    ],
)
def test_a_table_may_come_from_a_spreadsheet_and_be_packed(uri: str, name: str, data: bytes) -> None:
    source = open_source(mapped(uri, data, name))
    assert_says(source, {"a, b.jpg": ("chart",), "new\nline.jpg": ("photo",)})


def test_a_mapping_that_is_not_there_is_an_error_of_the_configuration(uri: str, tmp_path: Path) -> None:
    put(uri, "x/1.jpg")
    source = SourceConfig(uri=uri, tasks="table", mapping=f"{uri}/nowhere.csv")
    with pytest.raises(ConfigError, match="mapping is not there"):
        ingest(source, str(tmp_path / "store"))


def test_a_mapping_goes_with_the_tasks_that_need_one() -> None:
    for settings in ({"tasks": "table"}, {"tasks": "prefix", "mapping": "a.csv"}):
        with pytest.raises(ValidationError, match="mapping"):
            SourceConfig.model_validate({"uri": "pool", **settings})


def asked(image: str | None, question: str = "<image>\nWhat is this?", **more: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"id": "000000033471", "conversations": [{"from": "human", "value": question}], **more}
    return record | ({"image": image} if image else {})


SHORT = "<image>\nWhat?\nAnswer the question using a single word or phrase."
THREE = [{"from": who, "value": words} for words in (SHORT, "Where?", "How many?") for who in ("human", "gpt")]
LLAVA = [
    asked("coco/train2017/1.jpg", conversations=THREE),
    asked("coco/train2017/3.jpg", SHORT),
    asked("coco/train2017/1.jpg", "Which?\nAnswer with the option's letter from the given choices directly."),
    asked("coco/train2017/1.jpg", "Please provide the bounding box coordinate of the region this sentence describes"),
    asked("coco/train2017/2.jpg", "Provide a short description for this region."),
    asked("coco/train2017/2.jpg"),
    asked("gqa/images/1.jpg", "Red?\nAnswer the question using a single word or phrase."),
    asked("ocr_vqa/images/1.jpg"),
    asked("vg/VG_100K_2/1.jpg", "Provide a short description for this region."),
    asked("vg/VG_100K/1.jpg", task="mine"),
    asked("GCC_1.jpg", id="GCC_train_000000001"),
    asked("000000000009.jpg"),
    asked(None, "Text alone."),
]


def test_a_llava_files_tasks_follow_folder_answer_format_and_id(uri: str, tmp_path: Path) -> None:
    source = open_source(mapped(uri, json.dumps(LLAVA).encode(), "mix.json", "llava"))
    told = {
        "coco/train2017/1.jpg": ("aokvqa", "refcoco", "vqav2"),
        "coco/train2017/2.jpg": ("llava", "refcoco"),
        "coco/train2017/3.jpg": ("okvqa",),
        "gqa/images/1.jpg": ("gqa",),
        "ocr_vqa/images/1.jpg": ("ocr_vqa",),
        "vg/VG_100K_2/1.jpg": ("vg",),
        "vg/VG_100K/1.jpg": ("mine",),
        "GCC_1.jpg": ("GCC_train",),
        "000000000009.jpg": ("all",),
    }
    assert_says(source, told)


def test_a_llava_file_becomes_samples_of_image_and_task(uri: str, tmp_path: Path) -> None:
    put(uri, "coco/train2017/1.jpg", "coco/train2017/2.jpg", "gqa/images/1.jpg", "vg/not in the file.jpg")
    source, store = mapped(uri, json.dumps(LLAVA).encode(), "mix.json", "llava"), str(tmp_path / "store")
    catalog = ingest(source, store)
    samples = assemble(catalog, [embed_part(part, source, ENCODER) for part in catalog.split()])
    assert {part.label: part.rows for part in samples.parts} == {
        "aokvqa": 1,
        "gqa": 1,
        "llava": 1,
        "refcoco": 2,
        "vqav2": 1,
    }
    assert [row["reason"] for row in table_store.rejects(catalog).to_pylist()] == ["no_task"]


def test_a_folder_of_files_is_a_task_for_each_as_the_papers_authors_split_the_mixture(uri: str, tmp_path: Path) -> None:
    put(uri, "coco/train2017/1.jpg", "gqa/images/1.jpg")
    files = {"file1_665.json": LLAVA[:2], "file2_665.json": LLAVA[:1], "file10_665.json": LLAVA[6:7], "README.md": []}
    for name, data in files.items():
        open_store(f"{uri}-maps/splits").write(name, json.dumps(data).encode())
    settings = {"uri": uri, "tasks": "llava", "mapping": f"{uri}-maps/splits/"}
    source = SourceConfig.model_validate(settings)
    assert images(ingest(source, str(tmp_path / "store"))) == [
        ("coco/train2017/1.jpg", "file1_665"),
        ("coco/train2017/1.jpg", "file2_665"),
        ("gqa/images/1.jpg", "file10_665"),
    ]
    with pytest.raises(ConfigError, match="not there"):
        open_source(source.model_copy(update={"mapping": f"{uri}-maps/nowhere/"})).task_map  # noqa: B018


def test_records_without_one_picture_name_none_and_those_with_several_name_each(uri: str) -> None:
    data = [
        asked(None, video="a.mp4"),
        asked(None) | {"image": ["./gqa/1.jpg", "/gqa/2.jpg", 7, ""]},
        asked(None) | {"image": {"path": "x"}},
        {"image": "vg/1.jpg"},
        {"image": "coco/1.jpg", "conversations": "none"},
    ]
    source = open_source(mapped(uri, json.dumps(data).encode(), "mix.json", "llava"))
    told = {"gqa/1.jpg": ("gqa",), "gqa/2.jpg": ("gqa",), "vg/1.jpg": ("vg",), "coco/1.jpg": ("llava",)}
    assert_says(source, told)


def test_a_large_dataset_file_is_not_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "mix.json").open("w") as file:
        file.write("[" + ",".join(json.dumps(asked(f"gqa/{n % 50}.jpg", "x" * 3000)) for n in range(10_000)) + "]")
    source = SourceConfig(uri=str(tmp_path / "pool"), tasks="llava", mapping=str(tmp_path / "mix.json"))
    tracemalloc.start()
    found = open_source(source).task_map
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert len(found) == 50
    assert peak < 10e6 < (tmp_path / "mix.json").stat().st_size


def test_a_vision_flan_files_tasks_are_its_task_names(uri: str, tmp_path: Path) -> None:
    data = [asked("a.jpg", task_name="VQA_color"), asked("b.jpg", task_name="SciQ"), asked("c.jpg")]
    source = open_source(mapped(uri, json.dumps(data).encode(), "flan.json", "vision_flan"))
    assert_says(source, {"a.jpg": ("VQA_color",), "b.jpg": ("SciQ",)})


def test_a_task_map_says_what_a_dictionary_would(tmp_path: Path) -> None:
    """Over 5,000 keys, some with several tasks, some named twice alike."""
    rows = [(f"{number % 5000}.jpg", f"task{number % 7}") for number in range(12_000)]
    told: dict[str, set[str]] = {}
    for key, task in rows * 2:
        told.setdefault(key, set()).add(task)
    source = open_source(mapped(str(tmp_path / "pool"), as_file("csv", rows * 2)))
    assert_says(source, {key: tuple(sorted(tasks)) for key, tasks in told.items()})


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_records_are_the_same_however_the_file_is_cut(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_CHUNK", chunk)
    data = [{"id": "é-日本", "image": "a]b,{.jpg", "n": [1, {"x": 2}]}, {"id": "2"}, {}]
    lines = "\n".join(json.dumps(record) for record in data)
    for text in (json.dumps(data), json.dumps(data, indent=2, ensure_ascii=False), lines, "\ufeff" + lines):
        assert list(records.parse(io.BytesIO(text.encode()), "here")) == data


@pytest.mark.parametrize("text", ["[{}, {", "not json", '[{"a": 1}, 5]', "[{} {\x01}", '{"a": "\xff"}'])
def test_what_is_no_list_of_records_is_an_error_of_the_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        list(records.parse(io.BytesIO(text.encode("latin-1")), "here"))
