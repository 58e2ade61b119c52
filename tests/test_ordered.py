"""What is sorted in pieces and read in ranges is what sorting and joining the whole would give."""

from __future__ import annotations

import io
import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presel.errors import StorageError
from presel.tables import ordered, table_store
from presel.tables.ordered import Ordered, regrouped, side_by_side

SCHEMA = pa.schema([("key", pa.string()), ("task", pa.string()), ("number", pa.int64())])
Rows = list[tuple[str, str]]
few_keys = st.lists(st.tuples(st.sampled_from(["", "a", "a/b", "é", "\U0001f600", "z"]), st.sampled_from("xyz")))
many_keys = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.sampled_from("xyz")))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few rows, and batches of one or two."""
    monkeypatch.setattr(ordered, "_PIECE", 200)
    monkeypatch.setattr(ordered, "_BATCH", 40)


def table(rows: Rows) -> pa.Table:
    keys, tasks = ([row[column] for row in rows] for column in (0, 1))
    return pa.table([keys, tasks, range(len(rows))], schema=SCHEMA)


def filled(folder: str, rows: Rows, at_once: int = 3) -> Ordered:
    made = Ordered(Path(folder), SCHEMA, "key", "task")
    for start in range(0, len(rows), at_once):
        made.add(table(rows).slice(start, at_once))
    return made


@settings(deadline=None)
@given(few_keys | many_keys, st.integers(1, 5))
def test_the_ranges_together_are_the_sorted_table(rows: Rows, at_once: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = pa.concat_tables([SCHEMA.empty_table(), *filled(folder, rows, at_once).ranges()])
    assert [(row["key"], row["task"]) for row in found.to_pylist()] == sorted(rows)
    assert sorted(found["number"].to_pylist()) == list(range(len(rows)))


@settings(deadline=None)
@given(few_keys | many_keys, few_keys | many_keys)
def test_a_key_is_in_one_range_of_every_table(one: Rows, other: Rows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = list(side_by_side(filled(folder, one), filled(folder, other)))
    keys = [{key for rows in pair for key in rows["key"].to_pylist()} for pair in found]
    assert all(keys)
    assert all(max(first) < min(second) for first, second in pairwise(keys))
    for side, rows in enumerate((one, other)):
        assert sum(pair[side].num_rows for pair in found) == len(rows)


def test_a_large_table_waits_on_the_disk_and_a_small_one_does_not(tmp_path: Path) -> None:
    filled(str(tmp_path), [("a", "x")])
    assert list(tmp_path.iterdir()) == []
    rows = [(f"{number:03d}", "x") for number in reversed(range(100))]
    made = filled(str(tmp_path), rows)
    assert len(list(tmp_path.iterdir())) > 5
    assert max(found.num_rows for found in made.ranges()) < 20


def test_a_disk_that_is_full_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="TMPDIR"):
        filled(str(tmp_path / "not there"), [("a", "x")] * 50)


@settings(deadline=None)
@given(st.lists(st.integers(0, 7)), st.integers(1, 5))
def test_regrouped_rows_are_the_same_rows(counts: list[int], size: int) -> None:
    numbers = pa.table({"number": range(sum(counts))})
    starts = [sum(counts[:at]) for at in range(len(counts))]
    pieces = [numbers.slice(start, count) for start, count in zip(starts, counts, strict=True)]
    found = list(regrouped(pieces, numbers.schema, size))
    assert [row for rows in found for row in rows["number"].to_pylist()] == numbers["number"].to_pylist()
    assert [rows.num_rows for rows in found[:-1]] == [size] * (len(found) - 1)
    assert all(0 < rows.num_rows <= size for rows in found)


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_a_table_written_in_pieces_has_the_bytes_of_the_whole(count: int) -> None:
    whole = table([(f"key {number}", "x") for number in range(count)])
    sink = io.BytesIO()
    table_store.encode_pieces(sink, (whole.slice(start, 17) for start in range(0, count, 17)), SCHEMA)
    assert sink.getvalue() == table_store.encode(whole)


def test_row_groups_keep_every_row_and_are_no_larger_than_asked() -> None:
    whole, sink = table([(f"key {number}", "x") for number in range(250)]), io.BytesIO()
    table_store.encode_pieces(sink, [whole], SCHEMA, group=100)
    assert table_store.decode(sink.getvalue()).equals(whole)
    assert pa.parquet.read_metadata(sink).num_row_groups == 3
