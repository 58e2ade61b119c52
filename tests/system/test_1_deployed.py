"""As an operator has it: deployed, scheduled, on PostgreSQL and S3. The files of this folder follow one another."""

from __future__ import annotations

from presel.dataset import versions
from tests.system.installation import Installation


def test_the_schedule_starts_a_refresh_that_publishes(installation: Installation, scheduled: str) -> None:
    run, record = installation.run(scheduled), installation.latest()
    assert run["state_name"] == "Completed", installation.logs(scheduled)[-5:]
    assert run["auto_scheduled"]
    assert record.dataset.version == 1
    assert record.dataset.uri.startswith("s3://")
    assert versions.verify(record.dataset) == []
    assert record.dataset.records == int(0.15 * record.samples.rows)
    assert installation.answers() == installation.setting.requests()


def test_a_second_refresh_at_the_same_time_gives_way(installation: Installation, scheduled: str) -> None:
    first, second = installation.refresh(), installation.refresh()
    ends = {installation.wait(run)["state_name"] for run in (first, second)}
    assert ends == {"Completed", "Cancelled"}
    kept = first if installation.run(first)["state_name"] == "Completed" else second
    tasks = installation.tasks(kept)
    assert {name for name, state in tasks.items() if state == "Completed"} <= {
        *("ingest", "basis of the weights", "history", "publish", "report"),
        *("check pool", "export", "price reference set", "show plan", "show results"),
    }
    assert versions.versions(installation.setting.config.store, "demo") == [1]


def test_housekeeping_runs_on_its_own_pool_and_finds_nothing_wrong(installation: Installation, scheduled: str) -> None:
    installation.start_worker("four", pool="presel-cpu")
    run = installation.trigger("housekeeping/housekeeping")
    assert installation.wait(run)["state_name"] == "Completed"
    installation.kill("four")


def test_what_a_plan_made_on_one_pool_is_instructed_on_another_and_neither_embedded_nor_bought_twice(
    installation: Installation, scheduled: str
) -> None:
    installation.add_images(300, 30)
    before, asked, bought = (
        installation.latest().dataset.version,
        installation.setting.requests(),
        installation.answers(),
    )
    planned = installation.trigger("plan/plan")
    assert installation.wait(planned)["state_name"] == "Completed", installation.logs(planned)[-5:]
    made = installation.tasks(planned)
    assert "Completed" in {state for name, state in made.items() if name.startswith("embed")}
    installation.start_worker("five", pool="presel-api")
    run = installation.trigger("refresh/instruct")
    ended = installation.wait(run)
    installation.kill("five")
    assert ended["state_name"] == "Completed", installation.logs(run)[-5:]
    assert ended["work_pool_name"] == "presel-api"
    tasks = installation.tasks(run)
    found = ("embed", "assemble", "cluster", "reference", "instruct reference", "fit", "score", "rank", "plan")
    assert {state for name, state in tasks.items() if name.startswith(found)} == {"Cached"}
    assert installation.latest().dataset.version == before + 1
    assert installation.setting.requests() - asked == installation.answers() - bought > 0


def test_each_piece_of_work_has_one_line_in_the_ui(installation: Installation, scheduled: str) -> None:
    lines = installation.logs(scheduled)
    made = [line for line in lines if line.endswith("rejects") and " rows, " in line]
    assert any(line.startswith("embed ") for line in made)
    assert len(made) <= len(installation.tasks(scheduled))
    assert not any("HTTP Request" in line for line in lines)
