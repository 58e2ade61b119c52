import base64
import io
import re
from collections import Counter

import pytest
from PIL import Image

from presel import table_store
from presel.errors import InputError
from presel.report import pieces
from presel.run_record import RunRecord
from presel.tables import rows_of
from tests.report.synthetic import TASKS


def pictures(markdown: str) -> list[Image.Image]:
    found = re.findall(r"!\[[^\]]*\]\(data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)\)", markdown)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_the_plan_has_a_row_a_task_of_plain_words_and_numbers(reported: RunRecord) -> None:
    rows = pieces.plan_rows(reported)
    plan = rows_of(table_store.read(reported.plan))
    assert [row["task"] for row in rows] == sorted(TASKS)
    assert [row["quota"] for row in rows] == [row["quota"] for row in plan]
    assert all(isinstance(value, str | int | float) for row in rows for value in row.values())


def test_the_plan_in_words_adds_up(reported: RunRecord) -> None:
    quota = sum(row["quota"] for row in rows_of(table_store.read(reported.plan)))
    words = pieces.plan_words(reported)
    assert words.startswith(f"{quota} images to instruct beside the 30 of the reference set, of 600 usable ones.")
    assert f"{table_store.read(reported.plan)['price_usd'].to_pylist()[0]}" not in words  # rounded for people


def test_rejects_show_every_reason_with_its_count(reported: RunRecord) -> None:
    rows = pieces.reject_rows(reported)
    assert len(rows) == sum(ref.rejects for ref in reported.tables())
    shown = Counter((row["stage"], row["reason"]) for row in rows)
    assert all(row["of this kind"] == shown[row["stage"], row["reason"]] for row in rows)
    assert ("ingest", "too many pixels") in shown


@pytest.mark.parametrize("piece", [pieces.weights_markdown, pieces.map_markdown, pieces.gallery_markdown])
def test_markdown_inlines_real_pictures_and_stays_small(reported: RunRecord, piece) -> None:  # type: ignore[no-untyped-def]
    markdown = piece(reported)
    assert len(markdown.encode()) < 200_000
    assert "<svg" not in markdown
    assert "<script" not in markdown
    shown = pictures(markdown)
    assert shown
    for picture in shown:
        picture.load()


def test_the_gallery_shows_a_row_a_task(reported: RunRecord) -> None:
    markdown = pieces.gallery_markdown(reported)
    for task in TASKS:
        assert f"\n| {task} |" in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith(tuple(f"| {t}" for t in TASKS))} == {
        4
    }
    assert len(pictures(markdown)) >= 3 * len(TASKS)


def test_the_plan_can_be_shown_before_anything_is_published(reported: RunRecord) -> None:
    planned = reported.model_copy(update={"dataset": None, "report": None, "instructions": (), "selection": ()})
    assert pieces.plan_rows(planned) == pieces.plan_rows(reported)
    assert pictures(pieces.weights_markdown(planned))
    with pytest.raises(InputError, match="no report yet"):
        pieces.map_markdown(planned)
