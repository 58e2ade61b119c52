from pathlib import Path

import pytest

from presel.config import SourceConfig
from presel.errors import InputError
from presel.runs.run_record import RunRecord
from presel.stages.publish import publish
from presel.stages.report import build, build_report, gather
from presel.tables import table_store
from tests.report.synthetic import make


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    made = make(tmp_path_factory.mktemp("run"), tasks=("chart", "ocr"), per_task=40)
    return made.model_copy(update={"dataset": publish(made)})


def test_a_run_without_a_dataset_has_nothing_to_report(run: RunRecord) -> None:
    with pytest.raises(InputError, match="publish first"):
        build_report(run.model_copy(update={"dataset": None}))


def test_a_second_run_finds_the_report(run: RunRecord) -> None:
    first = build_report(run)
    assert first.report is not None
    page = Path(first.report.store, first.report.folder, "page.html")
    written = page.stat().st_mtime_ns
    assert build_report(run) == first
    assert page.stat().st_mtime_ns == written


def test_the_report_holds_page_map_and_gallery(run: RunRecord) -> None:
    report = build_report(run).report
    assert report is not None
    assert table_store.file(report, "page.html").startswith(b"<!doctype html>")
    assert table_store.file(report, "map.md").startswith(b"## Where the picks lie")
    assert table_store.file(report, "gallery.md").startswith(b"## What was picked")


def test_two_versions_of_the_same_content_have_two_reports(run: RunRecord) -> None:
    assert run.dataset is not None
    later = run.dataset.model_copy(update={"digest": "another version"})
    source, images = run.config.source, run.config.encoder.images
    keys = {
        build.key({"dataset": ref, "samples": run.samples, "model": run.model, "source": source, "images": images})
        for ref in (run.dataset, later)
    }
    assert len(keys) == 2


def test_the_map_shows_each_sample_once_with_what_became_of_it(run: RunRecord) -> None:
    assert run.dataset is not None
    contents = gather(run.dataset, run.samples, run.model, run.config.source)
    assert contents.map is not None
    assert len(contents.map.dots) == contents.map.of == run.samples.rows
    kinds = [dot.kind for dot in contents.map.dots]
    assert kinds.count("reference") == sum(row["origin"] == "reference" for row in contents.records)
    assert kinds.count("picked") == sum(row["origin"] == "selected" for row in contents.records)


def test_images_that_are_gone_leave_the_report_whole(run: RunRecord, tmp_path: Path) -> None:
    assert run.dataset is not None
    contents = gather(run.dataset, run.samples, run.model, SourceConfig(uri=str(tmp_path)))
    assert contents.pictures == {}
    assert contents.records


def test_a_picture_that_was_overwritten_after_the_run_is_not_shown(tmp_path: Path) -> None:
    made = make(tmp_path, tasks=("chart", "ocr"), per_task=40)
    record = made.model_copy(update={"dataset": publish(made)})
    assert record.dataset is not None
    before = gather(record.dataset, record.samples, record.model, record.config.source)
    rows = {row["sample_id"]: row for row in before.shown.rows()}
    assert before.pictures.keys() == rows.keys()
    other, first = rows.values().__iter__().__next__(), list(rows.values())[-1]
    Path(record.config.source.uri, first["key"]).write_bytes(Path(record.config.source.uri, other["key"]).read_bytes())
    after = gather(record.dataset, record.samples, record.model, record.config.source)
    assert before.pictures.keys() - after.pictures.keys() == {first["sample_id"]}
