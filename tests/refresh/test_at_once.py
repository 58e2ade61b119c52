"""Two refreshes of one store at the same time, as two processes: one version, nothing paid twice, nothing broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from presel.dataset import versions
from tests.refresh.conftest import Pool
from tests.refresh.test_changed_pools import put

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from presel.config import RefreshConfig
from tests.refresh.straight import straight
print(straight(RefreshConfig.model_validate_json(sys.stdin.read())).dataset.model_dump_json())
"""


def start(pool: Pool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(pool.config.model_dump_json())
    process.stdin.close()
    process.stdin = None
    return process


def unlike(store: str, numbers: list[int]) -> str:
    """In what two versions differ: how they came to be, and which files."""
    said = [versions.manifest(versions.find(store, "demo", number)) for number in numbers]
    files = [{name: file["sha256"] for name, file in one["files"].items()} for one in said]
    came = [{name: one[name] for name in ("base", "inputs", "before")} for one in said]
    return f"{came}, {sorted(name for name, digest in files[0].items() if files[1].get(name) != digest)}"


def test_two_refreshes_at_once_publish_one_version_and_pay_once(pool: Pool):
    first, asked, answers = pool.last, pool.setting.requests(), pool.answers()
    put(pool, "photo", range(900, 930))
    racing = [start(pool), start(pool)]
    told = [process.communicate(timeout=240)[0] for process in racing]
    assert [process.returncode for process in racing] == [0, 0]
    made = [json.loads(text.splitlines()[-1]) for text in told]
    assert made[0] == made[1], unlike(pool.config.store, [ref["version"] for ref in made])
    assert versions.versions(pool.config.store, "demo") == [1, 2]
    assert versions.verify(versions.find(pool.config.store, "demo", 2)) == []
    assert pool.setting.requests() - asked == pool.answers() - answers == made[0]["records"] - len(first.rows)
    again = pool.refresh()
    assert (again.paid, again.version) == (0, 2)
