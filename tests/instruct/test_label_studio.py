"""A round trip through a real Label Studio: what we hand out imports there, and what it exports is taken in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from presel.demo.endpoint import looks, serve
from presel.instruct.people.returned import read
from presel.instruct.people.taking import Taken, take
from presel.storage import open_store
from tests.instruct.label_studio import Studio, label_studio
from tests.instruct.pools import Pool, generator, reasons, rows
from tests.instruct.test_people import handed, people
from tests.storage_servers import new_bucket, s3_server
from tests.system.processes import until

pytestmark = pytest.mark.skipif(
    not os.environ.get("PRESEL_SYSTEM"), reason="installs and starts Label Studio: `make test-system` runs it"
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with label_studio(tmp_path_factory.mktemp("label-studio")) as server:
        if server is None:
            pytest.skip("Label Studio cannot be installed here: no package registry answers")
        yield server


def project_of(studio: Studio, pool: Pool) -> tuple[int, dict[str, Any]]:
    """A project with what was handed out, and what Label Studio said of the import."""
    config, out = (pool.root / "out" / "labels.xml").read_text(), pool.root / "out" / "tasks.json"
    project = studio("POST", "/api/projects/", {"title": "presel", "label_config": config})["id"]
    return project, studio("POST", f"/api/projects/{project}/import", json.loads(out.read_text()))


def tasks_of(studio: Studio, project: int) -> list[dict[str, Any]]:
    return list(studio("GET", f"/api/tasks/?project={project}&page_size=100")["tasks"])


def written(studio: Studio, task: dict[str, Any], response: str, **about: Any) -> None:
    fields = {"question_1": "What is it?", "response_1": response}
    result = [
        {"from_name": name, "to_name": "image", "type": "textarea", "value": {"text": [text]}}
        for name, text in fields.items()
    ]
    studio("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result, "lead_time": 12.5, **about})


def exported(studio: Studio, pool: Pool, project: int, form: str) -> Taken:
    file = pool.root / f"export-{form}.json"
    found = studio("GET", f"/api/projects/{project}/export?exportType={form}&download_all_tasks=true")
    file.write_text(json.dumps(found))
    return take(open_store(pool.store), people().people, read(str(file)))


def test_half_of_the_tasks_answered_in_label_studio_make_half_of_the_table(studio: Studio, pool: Pool) -> None:
    handed(pool, people(), pictures="inline")
    project, said = project_of(studio, pool)
    assert said["task_count"] == 8
    tasks = tasks_of(studio, project)
    for number, task in enumerate(tasks[:4]):
        written(studio, task, f"Shape {number}, said a person.")
    written(studio, tasks[4], "", was_cancelled=True)
    written(studio, tasks[5], " ")

    done = exported(studio, pool, project, "JSON")
    assert (done.taken, done.skipped, done.seconds) == (5, 1, 62.5)
    assert [refused.reason for refused in done.refused] == ["empty"]
    half = pool.instruct(people(), picked=8)
    assert half.rows == 4
    assert sorted(reasons(half)) == ["pending", "pending", "pending", "pending", "refused"]
    assert {row["turns"][0]["response"] for row in rows(half)} == {f"Shape {n}, said a person." for n in range(4)}
    assert exported(studio, pool, project, "JSON_MIN").known == 4  # the same, as its smaller export has it


def test_a_target_storage_of_label_studio_is_taken_as_it_lies(studio: Studio, pool: Pool) -> None:
    handed(pool, people(), pictures="inline")
    project, _ = project_of(studio, pool)
    for task in tasks_of(studio, project)[:3]:
        written(studio, task, "A shape.")
    with s3_server() as endpoint:
        bucket, _, prefix = new_bucket().removeprefix("s3://").partition("/")
        place = {"bucket": bucket, "prefix": prefix, "s3_endpoint": endpoint, "region_name": "us-east-1"}
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "testtest"}
        target = studio("POST", "/api/storages/export/s3", {"project": project, **place, **key})
        studio("POST", f"/api/storages/export/s3/{target['id']}/sync", {})
        until(lambda: len(list(open_store(f"s3://{bucket}/{prefix}").list())) == 3, 60)
        done = take(open_store(pool.store), people().people, read(f"s3://{bucket}/{prefix}"))
    assert (done.taken, done.refused) == (3, [])


def test_a_draft_is_a_prediction_that_label_studio_takes(studio: Studio, pool: Pool) -> None:
    with serve(looks) as endpoint:
        handed(pool, generator(endpoint.url, kind="people", people=people().people), pictures="inline", drafts=True)
    _, said = project_of(studio, pool)
    assert (said["task_count"], said["prediction_count"]) == (8, 8)
