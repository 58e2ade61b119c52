"""Every Python block of the README and of docs/ runs, in the order of its page; the notebook runs, cell by cell."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.reference_model.published import publish_drawn
from tests.storage_servers import s3_server

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
"""A block, and what stands right below it: what it prints."""
STORE = "s3://bucket/presel"
MODEL = "llava-hf/llava-1.5-7b-hf"
"""As the pages name it: nothing is downloaded here, so the demo's takes its place."""


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that pages name, beside a bucket that holds a published dataset `demo`."""
    from presel.storage.s3 import client

    folder = tmp_path_factory.mktemp("pages")
    for name in ("chart.png", "photo.jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(folder / name)
    with s3_server():
        client().create_bucket(Bucket="bucket")
        publish_drawn(folder, ["chart", "scene"], 2, store=STORE)
        yield folder


def base() -> str:
    from presel.demo.lvlm import base_folder

    return str(base_folder())


def what_the_readme_means() -> dict[str, Any]:
    """The names that the README's first lines use without saying where they come from."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    generator = np.random.default_rng(0)
    return {
        "embeddings": generator.standard_normal((400, 16)),
        "tasks": generator.choice(["chart", "ocr"], 400),
        "scores": {"chart": [0.2, 0.3], "ocr": [0.9, 1.0]},
        "model": AutoModelForImageTextToText.from_pretrained(base()),
        "processor": AutoProcessor.from_pretrained(base()),
        "samples": [("photo.jpg", "what colour is it", "it is red")],
    }


def run(sources: list[tuple[str, str]], where: str, names: dict[str, Any], folder: Path) -> None:
    """Run them, and hold those that show what they print to it, but for the width of its columns."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, (source, shown) in enumerate(sources, start=1):
                printed = io.StringIO()
                with redirect_stdout(printed):
                    exec(compile(source.replace(MODEL, base()), f"{where}, block {number}", "exec"), names)
                assert not shown or printed.getvalue().split() == shown.split()
    finally:
        os.chdir(before)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_python_block_of_a_page_runs(page: Path, place: Path) -> None:
    names = what_the_readme_means() if page.name == "README.md" else {}
    run(blocks(page), page.name, names, place)


def test_there_are_at_least_fifteen_blocks() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 15


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook: Path, place: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    run([("".join(cell["source"]), "") for cell in cells], notebook.name, {}, place)


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
