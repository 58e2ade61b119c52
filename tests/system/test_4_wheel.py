"""The built wheel in an empty folder, with no checkout beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml

from presel.cli.prefect_run import free_port, wait_for
from presel.demo.setting import Setting, staged
from tests.system import processes
from tests.test_extras import EXTRAS

ROOT = Path(__file__).parents[2]
MOST = 300 * 10**6
"""Bytes of a light core, as its wheels list them: without bytecode and pip."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


class Installed:
    """An environment that the wheel is installed in, and an empty folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.environment, self.folder = folder / "environment", folder / "empty"
        self.folder.mkdir()
        venv.create(self.environment, with_pip=False)
        [self.site] = (self.environment / "lib").glob("python*/site-packages")

    def install(self, *arguments: str) -> None:
        where = ["--python", str(self.environment / "bin/python")]
        command = [sys.executable, "-m", "pip", *where, "install", "--quiet", "--disable-pip-version-check", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program = [str(self.environment / "bin" / command[0]), *command[1:]]
        around = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PREFECT_API_URL")}
        return subprocess.run(
            program,
            cwd=self.folder,
            env={**around, **environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def says(self, *command: str, **environment: str) -> str:
        done = self.run(*command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without its dependencies, which are those of this environment: installing torch takes minutes."""
    found = Installed(tmp_path_factory.mktemp("installed"))
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (found.site / "shared.pth").write_text("\n".join(shared))
    found.install("--no-deps", str(wheel))
    return found


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with staged(tmp_path_factory.mktemp("pool"), images=150) as found:
        yield found


@pytest.fixture(scope="module")
def config(installed: Installed, setting: Setting) -> str:
    (installed.folder / "presel.yaml").write_text(yaml.safe_dump(setting.config.model_dump(mode="json")))
    return "presel.yaml"


def test_the_demo_runs(installed: Installed) -> None:
    told = json.loads(installed.says("presel", "demo", "--images", "150", "--folder", "demo", "--json"))
    assert told["requests"] > 10
    assert (installed.folder / "demo/report.html").is_file()


def test_the_modules_are_the_wheels_own(installed: Installed) -> None:
    told = installed.says(
        "python", "-c", "import presel, flows.refresh, tasks, deployments.worker as d; print(d.__file__)"
    )
    assert Path(told.strip()).parent == installed.site / "deployments"


def test_a_plan_a_refresh_and_a_fine_tuning_run(installed: Installed, config: str) -> None:
    assert "is whole" in installed.run("presel", "doctor", "-c", config).stdout
    assert json.loads(installed.says("presel", "plan", "-c", config, "--reference", "1", "--json"))["plan"]
    assert json.loads(installed.says("presel", "run", "-c", config, "--json"))["dataset"]
    assert json.loads(installed.says("presel", "finetune", "-c", config, "--json"))["model"]


def test_its_deployments_are_deployed(installed: Installed, config: str, tmp_path: Path) -> None:
    installed.says("presel", "init", "other.yaml", "--deployments", "--source", "pool", "--store", str(tmp_path))
    port, home = free_port(), str(tmp_path / "prefect")
    server = {"PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    api = {**server, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **server}, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            wait_for(f"{api['PREFECT_API_URL']}/health", 300)
            installed.says("python", "-m", "deployments.provision", str(tmp_path), **api)
            installed.says("python", "-m", "prefect", "--no-prompt", "deploy", "--all", **api)
            assert "refresh/refresh" in installed.says("python", "-m", "prefect", "deployment", "ls", **api)
            started = installed.says("python", "-m", "prefect", "deployment", "run", "housekeeping/housekeeping", **api)
            assert "Created flow run" in started
            worker = ("-m", "deployments.worker", "--pool", "presel-cpu", "--limit", "1", "--run-once")
            told = installed.run("python", *worker, **api)
            assert "ModuleNotFoundError" not in told.stdout + told.stderr
        finally:
            processes.kill(process)


def test_another_distribution_that_has_written_over_the_flows_is_named(installed: Installed, config: str) -> None:
    theirs, info = installed.site / "flows/refresh.py", installed.site / "workflows-1.0.dist-info"
    ours = theirs.read_text()
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: workflows\nVersion: 1.0\n")
    (info / "RECORD").write_text("flows/refresh.py,,\n")
    theirs.write_text("from prefect import flow\n")
    try:
        said = "`flows` is not presel's any more: workflows has replaced flows/refresh.py"
        assert said in installed.run("presel", "doctor", "-c", config).stdout
        done = installed.run("presel", "run", "-c", config)
        assert done.returncode == 2
        assert said in done.stderr
        assert said in installed.run("python", "-c", "import tasks.cpu").stderr
    finally:
        theirs.write_text(ours)


def test_the_light_core_is_small_and_chooses(wheel: Path, tmp_path: Path) -> None:
    core = Installed(tmp_path)
    core.install(str(wheel))
    brought = list(distributions(path=[str(core.site)]))
    files = [Path(str(file.locate())) for one in brought for file in one.files or ()]
    size = sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())
    assert size < MOST, f"{size / 1e6:.0f} MB"
    heavy = {module for modules in EXTRAS.values() for module in modules}
    assert not [name for name in heavy if (core.site / name).exists()]
    chosen = core.says("python", "-c", CHOOSE)
    assert chosen.split() == ["30", "['chart',", "'ocr']"]
    assert core.run("presel", "--help").stderr.endswith("pip install 'presel[cli]'\n")
    core.install(f"{wheel}[cli]")
    assert "finetune" in core.says("presel", "--help")
    assert core.says("presel", "init")
    assert "pip install 'presel[flows]'" in core.run("presel", "run").stderr


CHOOSE = """
import numpy as np, presel
vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
picks = presel.select(vectors, ["chart"] * 100 + ["ocr"] * 100, share=0.15, irs={"chart": 0.22, "ocr": 0.98}, seed=0)
print(len(picks), sorted(set(picks["task"])))
"""
