"""What a model will be tested on is no sample: by its bytes, and by what it looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presel.config import EncoderConfig, SourceConfig
from presel.errors import ConfigError
from presel.stages.assemble import assemble
from presel.stages.embed import embed_part
from presel.stages.import_vectors import import_vectors
from presel.stages.ingest import ingest
from presel.tables import table_store
from tests.image_files import encoded, photograph
from tests.stages.pools import catalogue, keys, put

ENCODER = EncoderConfig(name="builtin", batch_size=8)


class Apart:
    def __init__(self, folder: Path) -> None:
        self.store = str(folder / "store")
        put(str(folder / "pool"), *keys("a", *range(6)), *keys("b", *range(3)))
        (folder / "pool/a/seen.jpg").write_bytes(encoded(photograph(320, 240), "JPEG", quality=95))
        put(str(folder / "tests"), "a/002.jpg")  # the bytes of one, and another picture written anew
        (folder / "tests/held.png").write_bytes(encoded(photograph(300, 225), "PNG"))
        self.source = SourceConfig(uri=str(folder / "pool"))
        self.catalog = catalogue(self.source.uri, self.store)
        self.embeddings = [embed_part(part, self.source, ENCODER) for part in self.catalog.split()]
        self.tests = SourceConfig(uri=str(folder / "tests"), tasks="single")
        self.shown = [embed_part(part, self.tests, ENCODER) for part in ingest(self.tests, self.store).split()]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    return Apart(tmp_path_factory.mktemp("apart"))


def refused(ref) -> dict[str, str]:
    return {row["key"]: row["detail"] for row in table_store.rejects(ref).to_pylist() if row["reason"] == "held_out"}


def test_an_image_of_a_test_and_one_that_is_nearly_one_are_rejects_with_the_match_and_the_cosine(pool: Apart) -> None:
    made = assemble(pool.catalog, pool.embeddings, pool.shown, 0.95)
    found = refused(made)
    assert found.keys() == {"a/002.jpg", "a/seen.jpg"}
    assert found["a/002.jpg"] == "the same bytes as a/002.jpg of a test (cosine 1.000)"
    assert found["a/seen.jpg"].startswith("nearly held.png of a test (cosine 0.9")
    assert not {"a/002.jpg", "a/seen.jpg"} & set(table_store.read(made, ["key"])["key"].to_pylist())
    assert made.rows == 8


def test_without_tests_the_key_is_what_it_was(pool: Apart) -> None:
    plain = assemble(pool.catalog, pool.embeddings)
    assert assemble(pool.catalog, pool.embeddings, [], 0.5).key == plain.key
    assert assemble(pool.catalog, pool.embeddings, pool.shown, 0.95).key != plain.key
    assert plain.rows == 10


def test_a_file_of_vectors_stands_for_the_images(pool: Apart, tmp_path: Path) -> None:
    rows = pa.concat_tables([table_store.read(ref) for ref in pool.shown])
    vectors = [np.asarray(vector, np.float32).tolist() for vector in rows["vector"].to_pylist()]
    pq.write_table(pa.table({"id": rows["key"], "vector": vectors}), tmp_path / "tests.parquet")
    ref = import_vectors(str(tmp_path / "tests.parquet"), pool.store)
    found = refused(assemble(pool.catalog, pool.embeddings, [ref], 0.95))
    assert found.keys() == {"a/002.jpg", "a/seen.jpg"}
    assert import_vectors(str(tmp_path / "tests.parquet"), pool.store) == ref


def test_vectors_of_another_encoder_are_refused_in_words(pool: Apart, tmp_path: Path) -> None:
    pq.write_table(pa.table({"vector": [[1.0, 0.0], [0.0, 1.0]]}), tmp_path / "other.parquet")
    ref = import_vectors(str(tmp_path / "other.parquet"), pool.store)
    with pytest.raises(ConfigError, match="another encoder"):
        assemble(pool.catalog, pool.embeddings, [ref], 0.95)


@pytest.mark.parametrize("columns", [{"other": [1]}, {"vector": [[1.0], [1.0, 2.0]]}, {"vector": [[float("nan")]]}])
def test_a_file_without_usable_vectors_is_refused_in_words(columns: dict, pool: Apart, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
    with pytest.raises(ConfigError, match="vectors cannot be read"):
        import_vectors(str(tmp_path / "odd.parquet"), pool.store)
