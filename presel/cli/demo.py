"""`presel demo`: the refresh flow that production runs, on a pool this package draws, with nothing to download or pay for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from presel.cli.console import complaints, screen, show
from presel.cli.options import AsJson
from presel.errors import __version__

if TYPE_CHECKING:
    from presel.cli.prefect_run import Finished
    from presel.demo.setting import OnProgress, Setting

app = typer.Typer(help="Run everything on an embedded pool, encoder, reference model and annotator.")

_WORDS = (
    "The annotator was a local stand-in for a paid API: it answers from the ground truth of the drawn pool, and its prices are "
    "made up ($0.40 in, $1.60 out per million tokens). For your own pictures and a real one: `presel init`."
)


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="Where the pool and the store lie.")] = Path("presel-demo"),
    images: Annotated[int, typer.Option(min=100, help="Drawn images, before the salt.")] = 2400,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    s3: Annotated[bool, typer.Option("--s3", help="Pool and store on an S3 server in this process.")] = False,
    ui: Annotated[bool, typer.Option("--ui", help="On a local Prefect server that stays up until Ctrl-C.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Exactly the published algorithm.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a pool, choose from it, have the choice instructed, publish a dataset. Under four minutes on two cores."""
    if context.invoked_subcommand is not None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    complaints.print(f"presel {__version__}  demo in {folder}", markup=False, soft_wrap=True)
    _own_prefect(folder)
    from presel.demo.setting import staged

    with (
        _drawing() as on_progress,
        staged(folder, images=images, seed=seed, s3=s3, paper=paper, on_progress=on_progress) as setting,
        _server(ui) as address,
        _links(setting, folder, ui and not s3) as linked,
    ):
        finished = _run(linked, folder / "report.html", as_json, kept=not s3)
        if address:
            _stay_up(address, finished.flow_run_id)


class Faults(StrEnum):
    """What the endpoint does wrong: see docs/instructions.md, Rehearse."""

    NONE = "none"
    MILD = "mild"
    STORM = "storm"


@app.command()
def endpoint(
    faults: Annotated[Faults, typer.Option(help="How badly it behaves.")] = Faults.NONE,
    port: Annotated[int, typer.Option(min=0, help="0: any free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="Equal seeds, equal faults.")] = 0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds a request takes.")] = 0.0,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Above it: 429.")] = None,
    batch_seconds: Annotated[float, typer.Option(min=0, help="Seconds a batch takes.")] = 5.0,
) -> None:
    """A local stand-in for a paid API, with its faults: point generator.base_url at it and rehearse a run."""
    from presel.demo.endpoint.rehearse import rehearse

    rehearse(
        lambda words: screen.print(words, markup=False, highlight=False, soft_wrap=True),
        faults=faults.value,
        port=port,
        seed=seed,
        latency=latency,
        requests_per_minute=requests_per_minute,
        batch_seconds=batch_seconds,
    )


def _run(setting: Setting, page: Path, as_json: bool, kept: bool) -> Finished:
    """`kept`: the store is there when this process is gone."""
    from presel.cli.inspect import copy_page
    from presel.cli.options import DEFAULT_CONFIG
    from presel.cli.prefect_run import run_flow
    from presel.cli.run import run_result, show_run
    from presel.cli.tour import commands, leave_configuration

    finished = run_flow("refresh", setting.config)
    if finished.record.report is not None:
        copy_page(finished.record.report, page)

    config = leave_configuration(setting.config, page.parent) if kept else None

    def words() -> None:
        show_run(finished, config or DEFAULT_CONFIG, page)
        screen.print(f"\nThe annotator was asked {setting.requests()} times. {_WORDS}", markup=False)
        if config:
            screen.print("\nLook around; none of these costs anything or needs an endpoint:")
            for line in commands(finished.record, config):
                screen.print(f"  {line}", markup=False, soft_wrap=True)

    result = {
        **run_result(finished),
        "page": str(page.absolute()),
        "config": str(config.absolute()) if config else None,
        "requests": setting.requests(),
    }
    show(result, as_json, words)
    return finished


@contextmanager
def _drawing() -> Iterator[OnProgress]:
    """A bar for the drawing of the pool, shown only while there is something to draw: the run has a table of its own."""
    bar = Progress(console=complaints, transient=True, disable=not complaints.is_terminal)
    drawing = bar.add_task("drawing the pool", total=None)

    def drawn(done: int, total: int) -> None:
        if done < total:
            bar.start()
            bar.update(drawing, completed=done, total=total)
        else:
            bar.stop()

    try:
        yield drawn
    finally:
        bar.stop()


def _own_prefect(folder: Path) -> None:
    """Keep the demo's runs out of the user's own Prefect: its own home, no server but one of its own."""
    os.environ["PREFECT_HOME"] = str((folder / "prefect").absolute())
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_API_KEY"):
        os.environ.pop(name, None)


@contextmanager
def _server(wanted: bool) -> Iterator[str | None]:
    """A Prefect server with its UI on a free port, or nothing."""
    if not wanted:
        yield None
        return
    from presel.cli.prefect_run import free_port, quiet, wait_for

    quiet(private=False)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    # The page asks for the API where the server believes to be, which is port 4200 unless it is told.
    environment = {**os.environ, "PREFECT_SERVER_UI_API_URL": f"{address}/api"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"{address}/api/health")
        os.environ["PREFECT_API_URL"] = f"{address}/api"
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def _links(setting: Setting, folder: Path, wanted: bool) -> Iterator[Setting]:
    """The setting with its store behind an http address: no browser follows a link from the UI into a folder."""
    if not wanted:
        yield setting
        return
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """One line a request would go to the terminal."""

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}/store"
        execution = setting.config.execution.model_copy(update={"store_url": address})
        try:
            yield replace(setting, config=setting.config.model_copy(update={"execution": execution}))
        finally:
            web.shutdown()


def _stay_up(address: str, flow_run_id: str) -> None:
    screen.print(f"\nThe run        {address}/runs/flow-run/{flow_run_id}", soft_wrap=True)
    screen.print(f"Its artifacts  {address}/artifacts\nThe server stays up until Ctrl-C.", soft_wrap=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        screen.print("stopped")
