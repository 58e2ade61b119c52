"""Vectors of a test's images that somebody has already, in place of the images: a Parquet file on a store or in a folder.

It must come from the encoder of the run, which only its dimension can tell; `key` or `id` names an image in the reject, and
`content`, where it is there, finds the same bytes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from presel.config.keys import digest, stage_key
from presel.errors import ConfigError
from presel.reference_model.imports import fetch
from presel.tables import table_store
from presel.tables.schemas import TEXT, TableRef, embeddings
from presel.tables.table_store import Output

NAME, VERSION = "import_vectors", 1


def import_vectors(uri: str, store: str) -> TableRef:
    """EMBEDDINGS of the file's rows. Raises ConfigError when it is not there or has no usable column `vector`."""
    data = fetch(uri, "exclude")
    key = stage_key(NAME, VERSION, {"file": digest(data)})
    found = table_store.find(store, NAME, key)
    if found is not None:
        return found
    out = Output(store, NAME, key)
    rows = _rows(data, uri)
    out.write(rows, rows.schema, "vectors")
    return out.commit({"file": digest(data)})


def _rows(data: bytes, uri: str) -> pa.Table:
    try:
        table = table_store.decode(data)
        vectors = np.array(table["vector"].to_pylist(), np.float32)
        assert vectors.ndim == 2
        assert np.isfinite(vectors).all()
    except (pa.ArrowInvalid, KeyError, ValueError, TypeError, AssertionError) as error:
        expected = "Parquet with a column `vector`, as many finite numbers in every row"
        raise ConfigError(
            "the vectors cannot be read", where="exclude", expected=expected, got=f"{uri}: {error}"
        ) from error
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    named = next((name for name in ("key", "id", "name") if name in table.column_names), None)
    names = table[named].cast(TEXT).to_pylist() if named else [f"row {at}" for at in range(len(table))]
    contents = table["content"].cast(TEXT).to_pylist() if "content" in table.column_names else [""] * len(table)
    columns = {
        "image_id": names, "key": names, "task": ["all"] * len(table), "content": contents,
        "width": [0] * len(table), "height": [0] * len(table), "format": [""] * len(table),
        "vector": list(vectors.astype(np.float16)),
    }  # fmt: skip
    return pa.table(columns, schema=embeddings(vectors.shape[1]))
