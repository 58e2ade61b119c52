"""`presel.open_dataset`: a published version as a table, as records, and as pictures on demand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq
from pydantic import ValidationError

from presel.config import DatasetConfig, ExportConfig, ImageConfig, SourceConfig
from presel.dataset import versions
from presel.dataset.rows import digest_of
from presel.errors import ConfigError, InputError, IntegrityError, NotFound, require
from presel.images import Reason, Rejected
from presel.sources import open_source
from presel.tables.schemas import DatasetRef

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from PIL import Image

WHERE = "presel.open_dataset"
Table = Literal["data", "selection", "plan", "rejects"]
_BATCH = 1024


class Record(dict[str, Any]):
    """One row of `data.parquet`, and its picture: record["turns"], record.image()."""

    def __init__(self, row: Mapping[str, Any], dataset: Dataset) -> None:
        super().__init__(row)
        self._dataset = dataset

    def image(self) -> Image.Image:
        """The upright 8-bit RGB picture that was instructed; see `Dataset.image`."""
        return self._dataset.image(self)

    def is_plain(self) -> bool:
        """Whether the file, opened as most trainers do, shows that picture; see `Dataset.is_plain`."""
        return self._dataset.is_plain(self)


class Dataset:
    """One published version. `name`, `version`, `uri` say which; it never changes, and every file read is checked.

    len(data)            records
    for record in data   every record, in the order of `sample_id`, a few in memory at a time
    data[7]              one record; the table is read for the first and kept
    data.to_pandas()     all records as a data frame; data.to_pandas("plan"), "selection" or "rejects" the other tables
    data.to_arrow()      the same as a pyarrow table
    data.image(record)   its picture

    It can be passed to another process, and stands where a map-style dataset of torch is expected.
    """

    def __init__(self, ref: DatasetRef, source: SourceConfig) -> None:
        self.name, self.version, self.uri = ref.name, ref.version, ref.uri
        self._ref, self._source_config = ref, source

    def __repr__(self) -> str:
        return f"<dataset {self.name}, version {self.version}: {len(self)} records at {self.uri}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_source", "_rows", "_limits")}

    def __len__(self) -> int:
        return self._ref.records

    def __iter__(self) -> Iterator[Record]:
        with versions.opened(self._ref, "data.parquet") as file:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH):
                yield from (Record(row, self) for row in batch.to_pylist())

    def __getitem__(self, place: int) -> Record:
        at = range(len(self))[place]  # negative places, and IndexError, as of any sequence
        return Record(self._rows.slice(at, 1).to_pylist()[0], self)

    def to_arrow(self, table: Table = "data") -> pa.Table:
        """All of a table: the records, or the `selection`, `plan` or `rejects` (docs/dataset.md names the columns)."""
        if table not in ("data", "selection", "plan", "rejects"):
            expected = "data, selection, plan or rejects"
            raise InputError("a version has no such table", where=self.uri, expected=expected, got=table)
        with versions.opened(self._ref, f"{table}.parquet") as file:
            return pq.read_table(file)

    def to_pandas(self, table: Table = "data") -> pd.DataFrame:
        """The same as a data frame; `turns` holds lists of {"question", "response"}."""
        frame: pd.DataFrame = self.to_arrow(table).to_pandas()
        if "turns" in frame.columns:
            frame["turns"] = frame["turns"].map(list)
        return frame

    def image(self, record: Mapping[str, Any]) -> Image.Image:
        """The picture of a record as it was instructed: upright, 8-bit RGB.

        Raises IntegrityError when the file is gone, cannot be read, or is another than the one that was instructed.
        """
        require("images", "showing a picture")
        from presel.images.decoders import opened

        found = opened(self._bytes(record), self._limits, record["key"])
        if isinstance(found, Rejected):
            raise self._lost(record["key"], "the picture cannot be decoded", f"{found.reason}: {found.detail}")
        return found

    def is_plain(self, record: Mapping[str, Any]) -> bool:
        """Whether `Image.open(path).convert("RGB")` shows the picture that was instructed.

        It does not where the file is turned by EXIF, has a colour profile or alpha, or is deep grey. Raises as `image` does.
        """
        require("images", "looking at a picture")
        from presel.images import is_plain

        return is_plain(self._bytes(record), self._limits)

    def _bytes(self, record: Mapping[str, Any]) -> bytes:
        key = record["key"]
        try:
            data = self._source.read_content(key, digest_of(record))
        except NotFound as error:
            raise self._lost(key, "nothing lies where the pictures were", error.what) from error
        if isinstance(data, Rejected):
            other = data.reason is Reason.CHANGED
            what = "the picture is no longer the one that was instructed" if other else "the picture cannot be read"
            raise self._lost(key, what, f"{data.reason}: {data.detail}")
        return bytes(data)

    def export(
        self,
        to: str | os.PathLike[str],
        trainers: str | Sequence[str] = "hf",
        *,
        validation: float = 0.05,
        **settings: Any,
    ) -> str:
        """Write the version for trainers, pictures included, as `presel export` does; returns where it lies.

        to: a folder or s3://bucket/prefix. trainers: hf, llava, llama-factory, ms-swift, trl, qwen, internvl, webdataset,
        openai, label-studio, or several of them. validation: share of the images that is held out, near-duplicates on one
        side. Further settings are those of `export` (longest, jpeg) and of `dataset` (license, language, notes) in a
        configuration. Raises ConfigError for a setting that there is not, IntegrityError for a picture that changed.
        """
        from presel.export import export_dataset

        names = (trainers,) if isinstance(trainers, str) else tuple(trainers)
        own = {name: value for name, value in settings.items() if name in ExportConfig.model_fields}
        about = {name: value for name, value in settings.items() if name not in own}
        try:
            export = ExportConfig(to=os.fspath(to), formats=names, validation=validation, **own)
            told = DatasetConfig(name=self.name, **about)
        except ValidationError as error:
            raise ConfigError(
                "a setting of the export is wrong", where=f"{WHERE}(...).export", got=str(error)
            ) from error
        store = self.uri.rpartition("/datasets/")[0]
        return export_dataset(self._ref, store, self._source_config, export, told)

    def _lost(self, key: str, what: str, got: str) -> IntegrityError:
        fix = "name the place of the pictures with open_dataset(..., source=...), or restore them"
        return IntegrityError(what, where=f"{self._source_config.uri.rstrip('/')}/{key}", got=got, fix=fix)

    @cached_property
    def _source(self) -> Any:
        return open_source(self._source_config)

    @cached_property
    def _limits(self) -> ImageConfig:
        settings = json.loads(versions.file(self._ref, "config.json"))
        return ImageConfig(**settings["encoder"]["images"])

    @cached_property
    def _rows(self) -> pa.Table:
        return self.to_arrow()


def open_dataset(
    store: str | os.PathLike[str],
    name: str = "dataset",
    version: int | str = "latest",
    *,
    source: str | os.PathLike[str] | SourceConfig | None = None,
) -> Dataset:
    """A published version of a dataset, to be read.

    store: s3://bucket/prefix or a folder, as `store` of the run was. version: a number, or "latest", the newest that is
    complete. source: where the pictures lie, if no longer where the run found them; a SourceConfig where that takes more
    than an address (an anonymous bucket). Neither the store nor the source is written to.

    Raises NotFound, naming what there is, for a dataset or version that was never published; StorageError when the store
    cannot be read; IntegrityError for a version whose files changed.
    """
    place = os.fspath(store)
    ref = _latest(place, name) if version == "latest" else versions.find(place, name, _number(version))
    if source is None:
        source = str(versions.manifest(ref)["run"]["source"])
    return Dataset(ref, source if isinstance(source, SourceConfig) else SourceConfig(uri=os.fspath(source)))


def _latest(store: str, name: str) -> DatasetRef:
    found = versions.latest(store, name)
    if found is None:
        fix = "`presel run` publishes one; `name` is dataset.name of its configuration"
        raise NotFound(f"no version of dataset '{name}' is published", where=store, fix=fix)
    return found


def _number(version: int | str) -> int:
    try:
        return int(version)
    except ValueError:
        raise InputError("unknown version", where=WHERE, expected='a number or "latest"', got=version) from None
