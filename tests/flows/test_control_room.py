"""What a person can see and do while a refresh runs: look, approve its plan, stop it; and what nobody may see: the key.

The pages are looked at in a real Chromium. Those of a finished run belong to every test run; what needs a run to watch takes
a minute and more, and belongs to `make test-system`.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.settings import PREFECT_API_URL

from presel.config import ExecutionConfig, ReferenceModelConfig
from presel.demo.annotator import annotator
from presel.demo.endpoint import serve
from presel.demo.setting import ENDPOINT, KEY, Setting, environment, pool, staged
from presel.instruct.ledger import Ledger
from presel.storage import open_store
from tests.chromium import chromium, needs_a_browser, screenshots
from tests.flows.ui import ControlRoom

system = pytest.mark.skipif(not os.environ.get("PRESEL_SYSTEM"), reason="runs to watch: `make test-system` has them")
ROOT = Path(__file__).parents[2]
IMAGES = 150
SECRET = "sk-presel-never-to-be-seen-0123456789"
RUN = """
import sys
from flows.refresh import refresh
from presel.config import RefreshConfig
from tasks.results import results_in
config = RefreshConfig.model_validate_json(sys.stdin.read())
refresh.with_options(result_storage=results_in(config.store))(config)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("room")


@pytest.fixture(scope="module")
def setting(folder: Path) -> Iterator[Setting]:
    with staged(folder, images=IMAGES) as setting, environment(**{KEY: SECRET}):
        yield setting


def start(setting: Setting, store: Path, *, concurrency: int = 2, **execution: Any) -> subprocess.Popen[str]:
    model = ReferenceModelConfig(model="builtin", fit="none")
    generator = setting.config.generator.model_copy(update={"concurrency": concurrency})
    config = setting.config.model_copy(
        update={
            "store": str(store),
            "reference_model": model,
            "generator": generator,
            "execution": ExecutionConfig(**execution),
        }
    )
    settings = {
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "presel,openai",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(config.model_dump_json())
    process.stdin.close()
    process.stdin = None
    return process


def until(done, process: subprocess.Popen[str], seconds: float = 180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := done():
            return found
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0][-3000:])
        time.sleep(0.2)
    process.kill()
    raise AssertionError("not in time: " + process.communicate()[0][-3000:])


def in_state(client, name: str, known: set):
    return [
        run for run in client.read_flow_runs(limit=200) if run.state and run.state.name == name and run.id not in known
    ]


def answers(store: Path) -> int:
    return sum(1 for _ in Ledger(open_store(str(store))).all_keys())


# --- a finished run, looked at -----------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    room: ControlRoom
    first: str
    """The id of a run that did all the work."""
    again: str
    """The id of a run that found it done."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


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
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output[-3000:]
        runs.append(room.run_in("Completed", known))
    return Seen(room, *runs)


@needs_a_browser
def test_a_run_lists_its_plan_its_progress_and_its_results_first(seen: Seen) -> None:
    seen.room.open_run(seen.first)
    seen.room.tab("Artifacts")
    for key in ("board", "pool", "plan", "weights", "fit", "budgets", "result", "rejects", "map", "gallery"):
        seen.room.sees(f"demo-{key}")
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
        box = seen.room.page.get_by_role("columnheader", name=heading, exact=True).bounding_box()
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
    [("weights", "What a question is worth", 1), ("map", "Where the picks lie", 1), ("gallery", "What was picked", 11)],
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


# --- a run that is watched ---------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(folder: Path, setting: Setting) -> Iterator[Setting]:
    """The same annotator, at one answer in 0.4 s, for one key alone."""
    answers, pictures = pool(setting.config.source.uri, folder, IMAGES, 0)
    with (
        serve(annotator(answers, pictures), latency=0.4, key=SECRET) as endpoint,
        environment(**{ENDPOINT: endpoint.url}),
    ):
        yield Setting(setting.config, requests=lambda: endpoint.counts.total)


@system
@needs_a_browser
def test_a_plan_is_approved_in_the_browser_and_the_run_is_watched_to_its_end(
    slow: Setting, tmp_path: Path, browser: Any, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = ControlRoom(browser, prefect_server, screenshots(tmp_path_factory))
    known, process = room.known(), start(slow, tmp_path / "store", concurrency=1, approve=True)
    run = until(lambda: room.run_in("Paused", known), process)
    asked = slow.requests()
    assert "cap of $1.00" in room.open_artifact(run, "demo-plan", "images to instruct beside")
    room.open_artifact(run, "demo-board", "Waiting for approval")
    room.open_run(run)
    room.page.get_by_role("button", name="Resume").click()
    room.sees("Pay for this plan?")
    room.keep("approval")
    assert slow.requests() == asked, "nothing is bought while it waits"
    room.page.get_by_role("textbox").last.fill("Grace Hopper")
    room.page.get_by_role("button", name="Submit").click()
    watched = ""
    while process.poll() is None and not ("instructions/min" in watched and "left" in watched):
        time.sleep(1)
        watched = room.open_artifact(run, "demo-board", "stage")
    room.keep("watched")
    assert "instruct select" in watched
    assert "This run has spent $0.0" in watched
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output[-3000:]
    assert slow.requests() > asked
    lines = room.ask("logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
    assert "Approved by Grace Hopper" in [line["message"] for line in lines]


@system
@needs_a_browser
def test_a_wrong_key_is_told_in_words_on_the_page_of_the_run(
    slow: Setting, tmp_path: Path, browser: Any, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = ControlRoom(browser, prefect_server, screenshots(tmp_path_factory))
    known = room.known()
    with environment(**{KEY: "a wrong one"}):
        process = start(slow, tmp_path / "store")
        process.communicate(timeout=120)
    assert process.returncode != 0
    run = room.run_in("Failed", known)
    assert run
    said = room.open_artifact(run, "demo-board", "EndpointRefused")
    assert "Incorrect API key provided" in said
    assert "check the key in the environment variable" in said
    room.open_run(run)
    room.sees("EndpointRefused")
    assert "Traceback" not in room.page.inner_text("body")
    room.keep("failed")
    room.tab("Details")
    room.sees("Flow run encountered an exception: EndpointRefused")


@system
def test_sigterm_keeps_what_was_asked_for_and_the_next_run_buys_the_rest(setting, tmp_path):
    store, before = tmp_path / "store", setting.requests()
    process = start(setting, store)
    until(lambda: setting.requests() - before >= 4, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode != 0
    bought, asked = answers(store), setting.requests() - before
    assert bought == asked, "every request that was sent is an answer that was kept"
    with get_client(sync_client=True) as client:
        told = [artifact.description for artifact in client.read_artifacts(limit=200) if artifact.key == "demo-board"]
    assert any(words.startswith("Stopped by a signal.") for words in told), told
    again = start(setting, store)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 0, output[-3000:]
    assert answers(store) == setting.requests() - before


@system
def test_the_key_is_in_no_log_no_artifact_no_parameter_and_no_file(setting, tmp_path):
    process = start(setting, tmp_path / "store")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    assert SECRET not in output
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(limit=200)
        ids = [run.id for run in runs]
        told = [run.model_dump_json() for run in runs]
        told += [artifact.model_dump_json() for artifact in client.read_artifacts(limit=200)]
        told += [task.model_dump_json() for task in client.read_task_runs(limit=200)]
        offset = 0
        while lines := client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=ids)), limit=200, offset=offset):
            told += [line.message for line in lines]
            offset += 200
        assert offset
        assert FlowRunFilter(id=FlowRunFilterId(any_=ids))
    assert SECRET not in json.dumps(told)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 50
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
