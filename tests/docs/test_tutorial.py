"""Every command of the tutorial, in its order, in one shell; ten minutes, so `make test-outside` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"
COMMANDS = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_tutorial_has_its_eight_steps() -> None:
    assert len(re.findall(r"^## \d", PAGE.read_text(), re.MULTILINE)) == 8
    assert len(COMMANDS) >= 8


@pytest.mark.skipif(not os.environ.get("PRESEL_SYSTEM"), reason="takes minutes: `make test-outside` runs it")
def test_every_command_of_the_tutorial_succeeds(tmp_path: Path) -> None:
    script = "\n".join(["set -eu", "trap 'kill $(jobs -p) 2>/dev/null' EXIT", *COMMANDS])
    paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, **paths}, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (tmp_path / "store/datasets/dataset/1/README.md").exists()
    assert (tmp_path / "train/README.md").exists()
    assert list((tmp_path / "store/models/dataset").glob("*/evaluation.json"))
