"""gc removes what nothing needs and nothing else; verify finds every byte that changed."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from presel.dataset import versions
from presel.errors import IntegrityError
from presel.runs import run_record
from presel.runs.housekeeping.gc import GRACE, MARKS, collect, look, remove
from presel.runs.housekeeping.under_way import announce, withdraw
from presel.runs.housekeeping.verify import record_of, verify, verify_latest
from presel.stages.report import build_report
from presel.tables import table_store
from tests.refresh.conftest import Pool
from tests.refresh.test_changed_pools import put


def files(store: str) -> dict[str, bytes]:
    root = Path(store)
    found = {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    return {path: data for path, data in found.items() if path != MARKS}


def test_after_one_refresh_everything_is_needed(pool: Pool):
    assert look(pool.config.store) == []


def test_what_an_older_run_made_goes_and_the_latest_stays_whole(pool: Pool):
    put(pool, "photo", range(900, 920))
    second = pool.refresh()
    before = files(pool.config.store)
    garbage = look(pool.config.store, timedelta(0))
    gone = {found.path for found in garbage}
    assert gone
    assert all(path.startswith("tables/") for path in gone)
    # The first catalog went, but for the part that the second took over from it.
    catalogs = {path.split("/")[2] for path in before if path.startswith("tables/ingest/")}
    assert len(catalogs) == 2
    assert sum(path.startswith("tables/ingest/") for path in gone) == 4
    freed = remove(pool.config.store, garbage)
    after = files(pool.config.store)
    assert freed == sum(len(before[path]) for path in gone)
    assert after == {path: data for path, data in before.items() if path not in gone}
    assert verify(second.record.dataset, second.record, pool.config.source) == []
    again = pool.refresh()
    assert (again.paid, again.embedded, again.version) == (0, 0, 2)


def test_nothing_goes_before_it_was_marked_a_grace_ago(pool: Pool):
    put(pool, "photo", range(900, 920))
    pool.refresh()
    now = datetime.now(UTC)
    assert not any(found.due for found in look(pool.config.store, now=now))
    assert collect(pool.config.store, delete=True).freed == 0
    later = look(pool.config.store, now=now + GRACE + timedelta(hours=1))
    assert all(found.due for found in later)
    # What came to be unneeded after the first look is not due with the rest.
    put(pool, "photo", range(920, 930))
    pool.refresh()
    latest = look(pool.config.store, now=now + GRACE + timedelta(hours=1))
    assert {found.path for found in latest if found.due} == {found.path for found in later}
    assert any(not found.due for found in latest)


def test_what_went_is_made_again_and_nothing_is_paid_again(pool: Pool):
    first = pool.last
    keys = put(pool, "photo", range(900, 920))
    pool.refresh()
    collect(pool.config.store, delete=True, grace=timedelta(0))
    for key in keys:
        (pool.images / key).unlink()
    third = pool.refresh()
    assert third.paid == 0
    assert first.rows.keys() <= third.rows.keys()
    assert verify(third.record.dataset, third.record) == []


def test_half_of_an_output_is_no_output(pool: Pool):
    """The manifest goes first, so that a removal which is cut short leaves nothing that claims to be there."""
    put(pool, "photo", range(900, 920))
    pool.refresh()
    garbage = look(pool.config.store, timedelta(0))
    remove(pool.config.store, [found for found in garbage if found.path.endswith("/manifest.json")])
    assert {Path(found.path).parent for found in look(pool.config.store)} == {
        Path(found.path).parent for found in garbage
    }
    manifests = [
        path for path in files(pool.config.store) if path.startswith("tables/") and path.endswith("/manifest.json")
    ]
    for path in manifests:
        ref = table_store.find(pool.config.store, *path.split("/")[1:3])
        assert ref is not None
        if ref.parts:
            table_store.read(ref)


def test_collections_beside_a_refresh_do_not_disturb_it(pool: Pool):
    """With the usual grace: whatever a run has made and no record names yet is marked at the most."""
    put(pool, "photo", range(900, 920))
    over = threading.Event()

    def collecting() -> int:
        rounds = 0
        while not over.is_set():
            assert collect(pool.config.store, delete=True).freed == 0
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as beside:
        rounds = beside.submit(collecting)
        try:
            second = pool.refresh()
        finally:
            over.set()
        assert rounds.result() > 1
    assert verify(second.record.dataset, second.record, pool.config.source) == []


def test_two_collections_at_once_and_one_cut_short_leave_a_whole_store(pool: Pool):
    put(pool, "photo", range(900, 920))
    second = pool.refresh()
    garbage = look(pool.config.store, timedelta(0))
    remove(pool.config.store, garbage[: len(garbage) // 2])
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda _: collect(pool.config.store, delete=True, grace=timedelta(0)), range(2)))
    assert look(pool.config.store) == []
    assert verify(second.record.dataset, second.record, pool.config.source) == []


def test_reports_of_older_versions_stay(pool: Pool):
    first = build_report(pool.last.record)
    run_record.save(first)
    put(pool, "photo", range(900, 920))
    pool.refresh()
    assert not [found for found in look(pool.config.store) if found.path.startswith("tables/report/")]


POINTERS = ("claim", "latest.json", "record", "catalog pointer", "changes.json")


@pytest.mark.parametrize(
    "what", ["version", "manifest", "table", "table's manifest", "ledger", "lease", "picture", *POINTERS]
)
def test_verify_names_the_byte_that_changed(pool: Pool, what: str):
    store, record = Path(pool.config.store), pool.last.record
    target = {
        "version": store / "datasets/demo/1/data.parquet",
        "manifest": store / "datasets/demo/1/manifest.json",
        "table": store / record.samples.parts[0].path,
        "table's manifest": store / record.plan.folder / "manifest.json",
        "ledger": min((store / "ledger/answers").rglob("*.json")),
        "lease": min((store / "ledger/leases").rglob("*.json")),
        "picture": pool.images / next(iter(pool.last.rows.values()))["key"],
        "claim": store / "datasets/demo/1/claim.json",
        "latest.json": store / "datasets/demo/latest.json",
        "record": store / "runs/demo/latest.json",
        "catalog pointer": min((store / "catalogs").rglob("listed.json")),
        "changes.json": store / record.catalog.folder / "changes.json",
    }[what]
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(bytes(data))
    wrong = verify(record.dataset, record, pool.config.source)
    assert len(wrong) == 1
    if what == "picture":
        assert verify_latest(str(store), "demo") == record.dataset
    else:
        with pytest.raises(IntegrityError, match="change"):
            verify_latest(str(store), "demo")


def test_verify_names_what_is_gone(pool: Pool):
    store, record = Path(pool.config.store), pool.last.record
    (store / record.plan.folder / "manifest.json").unlink()
    (store / record.samples.parts[0].path).unlink()
    next(path for path in sorted((store / "ledger/answers").rglob("*.json"))).unlink()
    wrong = verify(versions.latest(str(store), "demo"), record)
    assert len(wrong) == 3
    assert all("gone" in line for line in wrong)


def test_a_store_that_was_moved_is_verified_with_all_that_it_was_made_from(pool: Pool, tmp_path: Path):
    moved = shutil.copytree(pool.config.store, tmp_path / "elsewhere")
    version = versions.latest(str(moved), "demo")
    record = record_of(version, str(moved))
    assert verify(version, record) == []
    (moved / record.samples.parts[0].path).unlink()
    [line] = verify(version, record)
    assert "gone" in line


def test_what_a_killed_write_left_goes_after_the_grace(pool: Pool):
    left = [Path(pool.config.store, folder, ".presel-write-killed") for folder in ("", "ledger", "datasets/demo/1")]
    for file in left:
        file.write_bytes(b"half of it")
    now = datetime.now(UTC)
    assert {found.kind for found in look(pool.config.store, now=now)} == {"unfinished writes"}
    assert collect(pool.config.store, delete=True).freed == 0
    assert remove(pool.config.store, look(pool.config.store, now=now + GRACE + timedelta(hours=1))) == 30
    assert not any(file.exists() for file in left)


def test_nothing_is_removed_beneath_a_run_that_needs_again_what_was_marked_long_ago(pool: Pool):
    keys = put(pool, "photo", range(900, 920))
    pool.refresh()
    second = {path for path in files(pool.config.store) if path.startswith("tables/")}
    for key in keys:
        (pool.images / key).unlink()
    pool.refresh()
    now = datetime.now(UTC)
    look(pool.config.store, now=now - 2 * GRACE)
    announce(pool.config.store, "the pool as it was", now)
    found = collect(pool.config.store, delete=True)
    assert found.due > 0
    assert (found.freed, [run.run for run in found.waits_for]) == (0, ["the pool as it was"])
    assert second <= files(pool.config.store).keys()
    withdraw(pool.config.store, "the pool as it was")
    assert collect(pool.config.store, delete=True).freed > 0


def test_a_run_that_was_killed_holds_nothing_back_for_ever(pool: Pool):
    put(pool, "photo", range(900, 920))
    pool.refresh()
    now = datetime.now(UTC)
    look(pool.config.store, now=now - 2 * GRACE)
    announce(pool.config.store, "killed", now - GRACE - timedelta(hours=1))
    found = collect(pool.config.store, delete=True)
    assert found.waits_for == []
    assert found.freed > 0
