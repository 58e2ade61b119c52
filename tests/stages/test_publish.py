import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from presel.dataset import trainer_formats, versions
from presel.dataset.records import CHOSEN
from presel.dataset.texts import neutral
from presel.errors import IntegrityError
from presel.report.card import plain
from presel.runs.run_record import RunRecord
from presel.stages import publish as stage
from presel.stages.publish import publish, without_credentials
from presel.storage import open_store
from presel.tables import ordered, table_store
from presel.tables.schemas import REJECTS, DatasetRef, rows_of
from tests.report.synthetic import HOSTILE_ANSWER, make, shuffled
from tests.trainer_records import turns_of_llava, turns_of_messages

TASKS = ("chart", "ocr", "photo")


def small(folder: Path, **settings: Any) -> RunRecord:
    return make(folder, tasks=TASKS, per_task=60, **settings)


def table(ref: DatasetRef, name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(versions.file(ref, name)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return small(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def version(run: RunRecord) -> DatasetRef:
    return publish(run)


def test_a_version_holds_every_file_and_all_of_them_are_unchanged(version: DatasetRef) -> None:
    names = {entry.path for entry in open_store(version.uri).list()}
    assert names == {
        *("llava.json", "messages.jsonl", "data.parquet", "selection.parquet", "plan.parquet", "rejects.parquet"),
        *("README.md", "config.json", "versions.json", "diff.json", "manifest.json", "claim.json"),
    }
    assert versions.verify(version) == []


def test_records_are_the_instructions_ordered_by_sample(run: RunRecord, version: DatasetRef) -> None:
    records = rows_of(table(version, "data.parquet"))
    instructed = [
        row for ref in (*run.reference_instructions, *run.instructions) for row in rows_of(table_store.read(ref))
    ]
    assert version.records == len(records) == len(instructed)
    ids = [row["sample_id"] for row in records]
    assert ids == sorted(row["sample_id"] for row in instructed)
    assert {row["sample_id"]: row["turns"] for row in records} == {row["sample_id"]: row["turns"] for row in instructed}
    assert table(version, "data.parquet").schema == trainer_formats.RECORDS


def test_every_format_holds_the_same_records_in_the_same_order(version: DatasetRef) -> None:
    records = rows_of(table(version, "data.parquet"))
    llava = json.loads(versions.file(version, "llava.json"))
    messages = [json.loads(line) for line in versions.file(version, "messages.jsonl").splitlines()]
    for record, one, other in zip(records, llava, messages, strict=True):
        clean = [{name: neutral(text) for name, text in turn.items()} for turn in record["turns"]]
        assert one["id"] == other["id"] == record["sample_id"]
        assert one["image"] == other["images"][0] == record["key"]
        assert turns_of_llava(one) == turns_of_messages(other) == clean


def test_records_sorted_in_many_pieces_are_the_same_records(
    run: RunRecord, version: DatasetRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "_PIECE", 3000)
    monkeypatch.setattr(ordered, "_BATCH", 1000)
    monkeypatch.setattr(stage, "_RECORDS_A_GROUP", 10)
    settings = run.config.model_copy(update={"store": str(tmp_path)})
    again = publish(run.model_copy(update={"config": settings}))
    for name in ("llava.json", "messages.jsonl", "selection.parquet", "rejects.parquet", "README.md", "diff.json"):
        assert versions.file(again, name) == versions.file(version, name)
    assert table(again, "data.parquet").equals(table(version, "data.parquet"))
    assert pq.read_metadata(io.BytesIO(versions.file(again, "data.parquet"))).num_row_groups == 3


def test_reference_records_carry_relevance_and_selected_ones_their_place(run: RunRecord, version: DatasetRef) -> None:
    scores = {row["sample_id"]: row for ref in run.relevance for row in rows_of(table_store.read(ref))}
    places = {row["sample_id"]: row for ref in run.selection for row in rows_of(table_store.read(ref))}
    weights = {row["task"]: row["weight"] for row in rows_of(table_store.read(run.plan))}
    for record in rows_of(table(version, "data.parquet")):
        assert record["weight"] == weights[record["task"]]
        if record["origin"] == "reference":
            assert record["irs"] == scores[record["sample_id"]]["irs"]
            assert record["cluster"] is record["centrality"] is record["rank"] is None
        else:
            place = places[record["sample_id"]]
            assert (record["cluster"], record["centrality"], record["rank"]) == (
                *(place["cluster"], place["centrality"], place["rank"]),
            )
            assert record["irs"] is None


def test_two_folders_and_any_order_of_tables_give_the_same_bytes(
    run: RunRecord, version: DatasetRef, tmp_path: Path
) -> None:
    other = publish(shuffled(small(tmp_path)))
    assert other.digest == version.digest
    for name in versions.manifest(version)["files"]:
        assert versions.file(other, name) == versions.file(version, name), name
        assert str(tmp_path).encode() not in versions.file(other, name), name


def test_an_unchanged_content_publishes_nothing(tmp_path: Path) -> None:
    run = small(tmp_path)
    first = publish(run)
    before = {entry.path for entry in open_store(run.config.store).list("datasets/")}
    assert publish(shuffled(run)) == first
    assert {entry.path for entry in open_store(run.config.store).list("datasets/")} == before


def test_a_run_that_died_before_latest_was_written_is_mended_by_the_next(tmp_path: Path) -> None:
    run = small(tmp_path)
    publish(run)
    latest = tmp_path / "store/datasets/drawn/latest.json"
    expected = latest.read_bytes()
    latest.unlink()
    publish(run)
    assert latest.read_bytes() == expected


def test_a_run_that_died_while_publishing_is_finished_under_the_same_number(
    run: RunRecord, version: DatasetRef, tmp_path: Path
) -> None:
    again = small(tmp_path)
    publish(again)
    folder = tmp_path / "store/datasets/drawn/1"
    for name in ("manifest.json", "README.md", "llava.json"):
        (folder / name).unlink()
    assert publish(again).digest == version.digest
    assert versions.verify(publish(again)) == []


def test_a_changed_content_is_a_new_version_with_a_diff(tmp_path: Path) -> None:
    first = publish(small(tmp_path))
    second = publish(small(tmp_path, dropped=2))
    assert (first.version, second.version) == (1, 2)
    changes = json.loads(versions.file(second, "diff.json"))
    assert changes["before"] == 1
    assert changes["records"]["added"]["records"] == changes["records"]["dropped"]["records"] == 2 * len(TASKS)
    assert changes["records"]["kept"]["records"] == second.records - 2 * len(TASKS)
    assert changes["weights"]["moved"] == 0
    old = {row["sample_id"]: row["cost_usd"] for row in rows_of(table(first, "data.parquet"))}
    new = {row["sample_id"]: row["cost_usd"] for row in rows_of(table(second, "data.parquet"))}
    assert changes["records"]["spent_usd"] == pytest.approx(sum(cost for i, cost in new.items() if i not in old))
    assert changes["records"]["saved_by_reuse_usd"] == pytest.approx(sum(cost for i, cost in new.items() if i in old))
    assert "Against version 1: 6 added, 0 changed" in versions.file(second, "README.md").decode()


def test_another_answer_to_the_same_image_is_a_change(tmp_path: Path) -> None:
    publish(small(tmp_path))
    second = publish(small(tmp_path, prefix="Well: "))
    changes = json.loads(versions.file(second, "diff.json"))["records"]
    assert changes["changed"]["records"] == second.records - 1  # the hostile answer has no prefix
    assert changes["added"]["records"] == changes["dropped"]["records"] == 0


def test_the_selection_says_what_was_refused_and_what_came_in_for_it(tmp_path: Path) -> None:
    selection = table(publish(small(tmp_path, dropped=2)), "selection.parquet")
    assert selection.schema == CHOSEN
    for task in TASKS:
        rows = [row for row in rows_of(selection) if row["task"] == task]
        assert [row["order"] for row in rows] == list(range(len(rows)))
        outcomes = [row["outcome"] for row in rows]
        assert outcomes == ["refused"] * 2 + ["instructed"] * (len(rows) - 4) + ["replacement"] * 2


def test_rejects_of_all_stages_are_there_once(run: RunRecord, version: DatasetRef) -> None:
    rejects = table(version, "rejects.parquet")
    assert rejects.schema == REJECTS
    rows = [tuple(row.values()) for row in rows_of(rejects)]
    assert rows == sorted(set(rows))
    assert len(rows) == sum(ref.rejects for ref in run.tables())
    assert {row[0] for row in rows} == {"ingest", "assemble", "instruct-selection"}


def test_nothing_secret_and_no_address_is_published(run: RunRecord) -> None:
    # A configuration with a password is refused where it is read; a record of an older presel may hold one.
    address = {"base_url": "http://user:pw@127.0.0.1:1/v1?token=s3cret"}
    config = run.config.model_copy(
        update={
            "generator": run.config.generator.model_copy(update=address),
            "dataset": run.config.dataset.model_copy(update={"name": "secret"}),
        }
    )
    version = publish(run.model_copy(update={"config": config}))
    for name in (*versions.manifest(version)["files"], "manifest.json", "claim.json"):
        data = open_store(version.uri).read(name)
        assert b"s3cret" not in data, name
        assert b"pw@" not in data, name
    assert versions.manifest(version)["run"]["endpoint"] == "http://127.0.0.1:1/v1"
    published = json.loads(versions.file(version, "config.json"))
    assert "uri" not in published["source"]
    assert published["budget"] == {"share": 0.15}


def test_a_model_folder_is_published_by_its_name(tmp_path: Path) -> None:
    run = small(tmp_path)
    model = run.config.reference_model.model_copy(update={"model": "/home/somebody/llava-7b"})
    ref = publish(run.model_copy(update={"config": run.config.model_copy(update={"reference_model": model})}))
    assert json.loads(versions.file(ref, "config.json"))["reference_model"]["model"] == "llava-7b"


def test_a_sample_that_was_paid_for_twice_is_an_integrity_error(run: RunRecord) -> None:
    with pytest.raises(IntegrityError, match="instructed twice"):
        publish(run.model_copy(update={"instructions": (*run.instructions, run.instructions[0])}))


def test_an_instructed_sample_that_nobody_ranked_is_an_integrity_error(run: RunRecord) -> None:
    with pytest.raises(IntegrityError, match="no selection ranked"):
        publish(run.model_copy(update={"selection": run.selection[1:]}))


def test_nothing_selected_is_still_a_version(tmp_path: Path) -> None:
    run = small(tmp_path)
    ref = publish(run.model_copy(update={"instructions": (), "selection": ()}))
    assert ref.records == sum(part.rows for part in run.reference_instructions)
    assert table(ref, "selection.parquet").schema == CHOSEN


def test_the_card_has_a_header_the_hub_reads_and_a_row_a_task(version: DatasetRef) -> None:
    _, header, body = versions.file(version, "README.md").decode().split("---\n", 2)
    assert yaml.safe_load(header)["configs"] == [{"config_name": "default", "data_files": "data.parquet"}]
    assert yaml.safe_load(header)["size_categories"] == ["n<1K"]
    assert all(f"| {task} | " in body for task in TASKS)


def test_the_card_takes_hostile_names_as_words() -> None:
    assert plain("a|b\n# <script>`x`") == "a\\|b \\# &lt;script&gt;\\`x\\`"
    assert "<" not in plain(HOSTILE_ANSWER)
    assert plain(" ") == "(none)"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://user:key@host:8000/v1?token=x#y", "https://host:8000/v1"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("/data/images", "/data/images"),
    ],
)
def test_an_address_is_published_without_credentials(given: str, kept: str) -> None:
    assert without_credentials(given) == kept
