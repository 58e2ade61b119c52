"""`presel.open_dataset`: a published version as tables, records and pictures, from a folder and from S3."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import presel
from presel.api.datasets import Dataset
from presel.config import SourceConfig
from presel.config.keys import digest
from presel.errors import InputError, IntegrityError, NotFound
from presel.stages.publish import publish
from presel.tables.schemas import DatasetRef
from tests.reference_model.published import publish_drawn
from tests.report.synthetic import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def ref(folder: Path) -> DatasetRef:
    return publish(make(folder, tasks=("ocr", "photo"), per_task=40))


@pytest.fixture
def data(ref: DatasetRef, folder: Path) -> Dataset:
    return presel.open_dataset(folder / "store", "drawn")


@pytest.fixture
def drawn(tmp_path: Path) -> Dataset:
    """One with pictures that can be changed."""
    publish_drawn(tmp_path, ["chart", "scene"], 3)
    return presel.open_dataset(tmp_path / "store", "demo")


def test_records_come_one_by_one_by_place_and_as_tables(data: Dataset, ref: DatasetRef) -> None:
    frame, table = data.to_pandas(), data.to_arrow()
    assert len(data) == len(frame) == table.num_rows == ref.records > 8
    assert [record["sample_id"] for record in data] == frame["sample_id"].tolist() == sorted(frame["sample_id"])
    assert data[0] == next(iter(data))
    assert data[-1]["sample_id"] == frame["sample_id"].iloc[-1]
    assert set(frame["origin"]) == {"reference", "selected"}
    turns = frame["turns"].iloc[0]
    assert turns == data[0]["turns"]
    assert set(turns[0]) == {"question", "response"}
    with pytest.raises(IndexError):
        data[len(data)]


def test_the_other_tables_of_a_version_are_there(data: Dataset) -> None:
    assert data.to_pandas("plan")["task"].tolist() == ["ocr", "photo"]
    assert set(data.to_pandas("selection")["outcome"]) <= {"instructed", "refused", "replacement"}
    assert "reason" in data.to_arrow("rejects").column_names
    with pytest.raises(InputError, match="expected data, selection, plan or rejects, got card"):
        data.to_arrow("card")  # type: ignore[arg-type]


def test_pictures_are_those_that_were_instructed(drawn: Dataset, tmp_path: Path) -> None:
    for record in drawn:
        picture = record.image()
        with Image.open(tmp_path / "pool" / record["key"]) as opened:
            assert np.array_equal(np.asarray(picture), np.asarray(opened.convert("RGB")))
        assert drawn.image(record).tobytes() == picture.tobytes()


def test_a_picture_is_turned_upright_and_flattened_on_white(drawn: Dataset, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "pool" / "turned.png"
    Image.new("RGBA", (40, 20), (255, 0, 0, 0)).save(path, exif=exif)
    picture = drawn.image({"key": "turned.png", "content": digest(path.read_bytes())})
    assert (picture.mode, picture.size, picture.getpixel((5, 5))) == ("RGB", (20, 40), (255, 255, 255))
    assert not drawn.is_plain({"key": "turned.png", "content": digest(path.read_bytes())})
    assert all(record.is_plain() for record in drawn)


def test_another_picture_under_the_same_name_is_not_shown(drawn: Dataset, tmp_path: Path) -> None:
    one, other = drawn[0], drawn[1]
    path = tmp_path / "pool" / one["key"]
    path.write_bytes((tmp_path / "pool" / other["key"]).read_bytes())
    with pytest.raises(IntegrityError, match=r"no longer the one that was instructed.*source="):
        one.image()
    path.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        one.image()
    assert other.image().mode == "RGB"


def test_pictures_may_have_moved(drawn: Dataset, tmp_path: Path) -> None:
    moved = (tmp_path / "pool").rename(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match=r"nothing lies where the pictures were.*source="):
        drawn[0].image()
    for source in (moved, str(moved), SourceConfig(uri=str(moved))):
        assert presel.open_dataset(tmp_path / "store", "demo", source=source)[0].image().mode == "RGB"


def test_a_dataset_crosses_to_another_process(drawn: Dataset) -> None:
    first = drawn[0]
    first.image()
    again = pickle.loads(pickle.dumps(drawn))
    assert again[0] == first
    assert pickle.loads(pickle.dumps(first)).image().tobytes() == first.image().tobytes()


def test_a_dataset_stands_where_torch_expects_one(drawn: Dataset) -> None:
    from torch.utils.data import DataLoader

    batches = list(DataLoader(drawn, batch_size=4, collate_fn=list))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == [4, 2]
    assert batches[0][0].image().mode == "RGB"


def test_versions_are_found_by_number_and_what_is_missing_is_said(data: Dataset, folder: Path) -> None:
    store = str(folder / "store")
    for version in (1, "1", "latest"):
        assert presel.open_dataset(store, "drawn", version).version == 1
    assert "drawn, version 1" in repr(data)
    with pytest.raises(NotFound, match=r"has no version 7.*there is: 1"):
        presel.open_dataset(store, "drawn", 7)
    with pytest.raises(NotFound, match="no version of dataset 'other' is published"):
        presel.open_dataset(store, "other")
    with pytest.raises(NotFound, match="no version of dataset 'drawn'"):
        presel.open_dataset(folder / "nowhere", "drawn")
    with pytest.raises(InputError, match="unknown version"):
        presel.open_dataset(store, "drawn", "newest")


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    run = make(tmp_path, tasks=("photo",), per_task=40)
    published = publish(run)
    data = presel.open_dataset(run.config.store, "drawn")
    path = Path(published.uri) / "data.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    for read in (data.to_pandas, lambda: next(iter(data)), lambda: data[0]):
        with pytest.raises(IntegrityError, match="a published file changed"):
            read()


def test_a_version_on_s3_is_the_same(uri: str, tmp_path: Path) -> None:
    published = publish_drawn(tmp_path, ["chart", "scene"], 3, store=uri)
    data = presel.open_dataset(uri, "demo", version="latest")
    assert (data.name, data.version, data.uri) == ("demo", 1, published.uri)
    frame = data.to_pandas()
    assert len(frame) == len(data) == 6
    assert frame.to_dict("records")[3]["turns"] == data[3]["turns"]
    assert data[3].image().mode == "RGB"
