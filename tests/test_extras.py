"""What is not installed is one sentence with the command that installs it, and the light core does without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from presel.errors import EXTRAS, MissingExtra, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NO_PART_OF_PRESEL = {"all", "dev"}
CLUSTERS = {"ray", "dask"}


@cache
def installed_modules() -> Mapping[str, list[str]]:
    return packages_distributions()


def distributions_of(requirements: list[str]) -> set[str]:
    names = (re.split(r"[\[<>=;! ]", line)[0].lower().replace("_", "-") for line in requirements)
    return {name for name in names if name != "presel"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_the_modules_that_are_asked_for_in_its_name_and_no_other(extra: str) -> None:
    brought = installed_modules()
    if extra in CLUSTERS and not set(EXTRAS[extra]) <= set(brought):
        pytest.skip("`make test-system` installs the clusters")
    wanted = [{name.lower().replace("_", "-") for name in brought[module]} for module in EXTRAS[extra]]
    declared = distributions_of(PROJECT["optional-dependencies"][extra])
    assert all(found & declared for found in wanted)
    installed = {name.lower().replace("_", "-") for names in brought.values() for name in names}
    assert declared & installed <= set().union(*wanted)


def test_every_extra_is_one_that_can_be_missing() -> None:
    assert set(PROJECT["optional-dependencies"]) - NO_PART_OF_PRESEL == set(EXTRAS)


def test_the_core_shares_no_module_with_an_extra() -> None:
    core = distributions_of(PROJECT["dependencies"])
    for extra in EXTRAS:
        assert not core & distributions_of(PROJECT["optional-dependencies"][extra])


def on_s3() -> None:
    from presel.storage import open_store

    open_store.cache_clear()
    open_store("s3://bucket/store")


def a_picture() -> None:
    sys.modules.pop("presel.images.pillow", None)
    import_module("presel.images.pillow")


def the_score() -> None:
    import presel

    vars(presel).pop("irs", None)
    assert presel.irs


def a_prompt() -> None:
    from presel.instruct.words import mended

    mended("{broken")


def a_served_model() -> None:
    from presel.config import ServedConfig
    from presel.reference_model.served import ServedModel

    ServedModel(ServedConfig(base_url="http://127.0.0.1", model="llava"), None, 512, "first")  # type: ignore[arg-type]


def a_gpu() -> None:
    from presel.selection import kmeans

    kmeans([[0.0, 1.0], [1.0, 0.0]], 1, seed=0, device="gpu")


def an_encoder() -> None:
    from presel.config import EncoderConfig
    from presel.encoders import identity

    identity(EncoderConfig(name="timm:resnet18"))


def a_reference_model() -> None:
    from presel.config import ReferenceModelConfig
    from presel.reference_model import load

    load(ReferenceModelConfig(model="builtin"))


def a_processor() -> None:
    from presel.config import ReferenceModelConfig
    from presel.reference_model.backbone import load_processor

    load_processor(ReferenceModelConfig(model="builtin"))


def a_flow() -> None:
    from presel.cli.prefect_run import quiet

    quiet()


def a_demo() -> None:
    from presel.demo.setting import staged

    with staged(Path("never-made")):
        pass


def on_a_cluster(kind: str) -> Callable[[], None]:
    def run() -> None:
        from presel.config import ExecutionConfig
        from tasks.runner import cluster_runner

        cluster_runner(ExecutionConfig(runner=kind))

    return run


def metrics() -> None:
    from tasks.metrics import _served

    _served.cache_clear()
    _served("127.0.0.1:9191")


USES = [
    ("s3", on_s3),
    ("images", a_picture),
    ("instruct", a_prompt),
    ("instruct", a_served_model),
    ("gpu", a_gpu),
    ("models", the_score),
    ("models", an_encoder),
    ("models", a_reference_model),
    ("models", a_processor),
    ("flows", a_flow),
    ("demo", a_demo),
    ("ray", on_a_cluster("ray")),
    ("dask", on_a_cluster("dask")),
    ("metrics", metrics),
]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Modules as good as not installed."""

    def hide(extra: str) -> None:
        require.cache_clear()
        for module in EXTRAS[extra]:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


@pytest.mark.parametrize(("extra", "use"), USES, ids=[f"{extra}-{use.__name__}" for extra, use in USES])
def test_a_missing_extra_is_one_sentence_with_the_command_that_installs_it(
    extra: str, use: Callable[[], None], without: Callable[[str], None]
) -> None:
    without(extra)
    with pytest.raises(MissingExtra) as caught:
        use()
    said = str(caught.value)
    assert "\n" not in said
    modules = "|".join(EXTRAS[extra])
    assert re.fullmatch(rf".+ needs ({modules}), which is not installed: pip install 'presel\[{extra}\]'", said)


def in_the_light_core(code: str, *arguments: str, with_extra: str = "") -> subprocess.CompletedProcess[str]:
    """Python where no extra is installed, or this one only."""
    hidden = sorted({module for extra, modules in EXTRAS.items() for module in modules if extra != with_extra})
    program = f"import sys\nfor module in {hidden}: sys.modules[module] = None\n{code}"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


IMPORT_ALL = """
import importlib, json, pkgutil, presel
from presel.errors import MissingExtra
wrong = {}
for found in pkgutil.walk_packages(presel.__path__, "presel.", onerror=lambda name: None):
    if not found.name.startswith("presel.cli.") and not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except MissingExtra:
            pass
        except ImportError as error:
            wrong[found.name] = str(error)
print(json.dumps(wrong))
"""


def test_every_module_can_be_imported_in_the_light_core_or_says_what_it_needs() -> None:
    done = in_the_light_core(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_light_core_selects_plans_and_opens_datasets() -> None:
    done = in_the_light_core("import presel; presel.select, presel.plan, presel.open_dataset; print('here')")
    assert done.stdout == "here\n", done.stderr


CLI = "from presel.cli import main; sys.argv[0] = 'presel'; main()"


def test_without_its_extra_the_command_line_is_one_sentence() -> None:
    done = in_the_light_core(CLI, "--help")
    said = "presel: the command line needs rich, which is not installed: pip install 'presel[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_with_its_extra_alone_the_command_line_explains_itself_and_writes_a_configuration(tmp_path: Path) -> None:
    assert "finetune" in in_the_light_core(CLI, "--help", with_extra="cli").stdout
    assert in_the_light_core(CLI, "init", str(tmp_path / "presel.yaml"), with_extra="cli").returncode == 0
    assert (tmp_path / "presel.yaml").read_text().startswith("#")


@pytest.mark.parametrize("command", ["demo", "plan", "run", "finetune", "cancel", "doctor"])
def test_a_command_that_needs_an_extra_says_so_in_a_sentence(command: str, tmp_path: Path) -> None:
    config = tmp_path / "presel.yaml"
    where = ["--source", str(tmp_path), "--store", str(tmp_path / "store")]
    in_the_light_core(CLI, "init", str(config), *where, with_extra="cli")
    where = ["--folder", str(tmp_path)] if command == "demo" else ["-c", str(config)]
    done = in_the_light_core(CLI, command, *where, with_extra="cli")
    assert done.returncode in (1, 2), done.stderr
    said = done.stdout + done.stderr
    assert "pip install 'presel[" in said
    assert "Traceback" not in said


LOADED = "import json, presel; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def test_importing_presel_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {LOADED}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {module for modules in EXTRAS.values() for module in modules} | {"numpy", "pandas", "pyarrow", "pydantic"}
    loaded: list[Any] = json.loads(done.stdout)
    assert not heavy & set(loaded)
