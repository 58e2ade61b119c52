"""What a person sees of a refresh that has ended: its plan, progress, results, and what was refused. In a real Chromium."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from presel.demo.setting import Setting
from tests.chromium import needs_a_browser, screenshots
from tests.flows.started import start
from tests.flows.ui import ControlRoom


class Seen(NamedTuple):
    room: ControlRoom
    first: str
    """The id of a run that did all the work."""
    again: str
    """The id of a run that found it done."""


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    """The folder behind an address, as a bucket or a web server would have it."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def seen(
    setting: Setting,
    folder: Path,
    web: str,
    browser: Any,
    prefect_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Seen:
    """Two refreshes of one store, one after the other, have ended."""
    room, runs = ControlRoom(browser, prefect_server, screenshots(tmp_path_factory)), []
    for _ in range(2):
        known = room.known()
        process = start(setting, folder / "looked at", store_url=f"{web}/looked%20at")
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output[-3000:]
        runs.append(room.run_in("Completed", known))
    return Seen(room, *runs)


@needs_a_browser
def test_a_run_lists_its_plan_its_progress_and_its_results_first(seen: Seen) -> None:
    seen.room.open_run(seen.first)
    seen.room.tab("Artifacts")
    for key in ("board", "plan", "result", "gallery", "rejects", "outputs"):
        seen.room.sees(f"demo-{key}")
    assert len(seen.room.artifacts(seen.first)) == 6, "no card without a name, none beside these"
    seen.room.keep("run-artifacts")


@needs_a_browser
def test_the_board_says_how_far_every_stage_came_and_what_was_spent_of_the_cap(seen: Seen) -> None:
    said = seen.room.open_artifact(seen.first, "demo-board", "Completed")
    for stage in ("ingest", "embed", "instruct reference", "instruct select", "score", "report"):
        assert f"\n{stage}\n" in said.replace("\t", "\n"), said
    assert "This run has spent $0.0" in said
    assert "of its cap of $1.00" in said
    seen.room.keep("board")


@needs_a_browser
def test_the_plan_fits_the_page_with_its_prices(seen: Seen) -> None:
    seen.room.open_artifact(seen.first, "demo-plan", "images to instruct beside")
    for heading in ("task", "quota", "price", "between"):
        box = seen.room.page.get_by_role("columnheader", name=heading, exact=True).first.bounding_box()
        assert box, heading
        frame = seen.room.page.locator("table").first.locator("xpath=..").bounding_box()
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, f"{heading} is cut off"
    seen.room.keep("plan")


@needs_a_browser
def test_every_reason_to_refuse_an_image_is_shown_with_examples(seen: Seen) -> None:
    said = seen.room.open_artifact(seen.first, "demo-result", "What was refused")
    for reason, example in (
        ("duplicate", "chart/report_copy.png: the same bytes as chart/report.png"),
        ("not an image", "scene/error.jpg"),
        ("too many pixels", "texture/bomb.png"),
    ):
        assert reason in said
        assert example in said
    seen.room.keep("result")


@needs_a_browser
@pytest.mark.parametrize(
    ("key", "says", "least"),
    [("plan", "What a question is worth", 1), ("result", "Where the picks lie", 1), ("gallery", "What was picked", 11)],
)
def test_pictures_are_drawn(seen: Seen, key: str, says: str, least: int) -> None:
    seen.room.open_artifact(seen.first, f"demo-{key}", says)
    widths = seen.room.pictures_shown()
    assert len(widths) >= least
    assert min(widths) >= 40
    seen.room.keep(key)


@needs_a_browser
def test_the_link_to_the_report_opens_it(seen: Seen) -> None:
    seen.room.open_artifact(seen.first, "demo-result", "The report")
    address = seen.room.page.get_by_role("link", name="The report").get_attribute("href")
    seen.room.page.goto(address)
    assert "demo" in seen.room.page.title()
    assert seen.room.page.locator("section#plan h2").is_visible()
    seen.room.keep("report")


@needs_a_browser
def test_what_an_earlier_run_has_done_shows_as_cached(seen: Seen) -> None:
    seen.room.open_run(seen.again)
    seen.room.tab("Task Runs")
    seen.room.sees("Cached")
    seen.room.keep("cached")
    assert "11 of 11 (11 cached)" in seen.room.open_artifact(seen.again, "demo-board", "Completed")


@needs_a_browser
def test_the_log_has_at_most_one_line_for_each_part_and_tells_of_no_machinery(seen: Seen) -> None:
    lines = seen.room.ask("logs/filter", logs={"flow_run_id": {"any_": [seen.first]}}, limit=200)
    tasks = [line["task_run_id"] for line in lines if line["task_run_id"] and line["level"] == logging.INFO]
    assert len(tasks) > 40
    assert len(tasks) == len(set(tasks))
    said = "\n".join(line["message"] for line in lines)
    assert "embed 00000: " in said
    for noise in ("Finished in state", "worker thread", "httpx", "HTTP Request"):
        assert noise not in said
