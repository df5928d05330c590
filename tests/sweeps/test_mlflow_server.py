"""A real MLflow server: stopped while a study runs, on PostgreSQL, and under load."""

import json
import os
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.sweeps.real_sweep import BEGUN, PATIENCE, Sweep, table
from tests.sweeps.servers import MlflowServer, Postgres, why_no_postgres
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import open_tracker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ENDED = "trained in "
WAITS, BACK = "cannot be told now, all of it comes later", "was told all of it now"


@contextmanager
def study_lock(command, notes):
    """A driver whose notes go to a file; killed if the block ends before it."""
    with notes.open("a") as stderr:
        driver = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            env={**os.environ, "VPBSD_CHECKPOINT_SECONDS": "0", "RAY_ADDRESS": "local"},
        )
    try:
        yield driver
    finally:
        driver.kill()
        driver.communicate()


def wait_for(text, sweep, driver):
    deadline = time.monotonic() + PATIENCE
    while text not in sweep.notes():
        assert driver.poll() is None, sweep.notes()[-2000:]
        assert time.monotonic() < deadline, f"never said: {text}"
        time.sleep(0.1)


def rows_arrived_once(uri, store):
    """Counts the rows of all stages; each must have arrived once and in order."""
    tracker, rows = open_tracker(uri, "chaos"), 0
    stages = list(tracker.runs(tag.of_kind(tag.STAGE_KIND)))
    assert len({run.tags["vpbsd.key"] for run in stages}) == len(stages), "one run each"
    for run in stages:
        assert run.status == "FINISHED"
        folder = store.open(run.tags["vpbsd.key"])
        if run.tags["vpbsd.family"] == "evaluation":
            continue
        expected = json.loads((folder / "rows.json").read_text())
        rows += len(expected)
        names = {k for row in expected for k, v in row.items() if not isinstance(v, str)}
        for name in names - {"time", "epoch"}:
            points = tracker.client.get_metric_history(run.run_id, name)
            arrived = [(p.step, p.timestamp, p.value) for p in points]
            wanted = [
                (row["epoch"], int(1000 * row["time"]), row[name])
                for row in expected
                if name in row
            ]
            assert arrived == wanted, f"{run.name}: {name}"
    return rows


def test_a_server_stopped_while_a_study_runs_is_told_everything_later(tmp_path, folder):
    """Stopped when trials begin, back only when the driver has nothing left but to wait."""
    with MlflowServer(tmp_path) as server:
        sweep = Sweep(tmp_path / "study", folder, server.uri)
        with study_lock(sweep.command, sweep.home / "stderr") as driver:
            wait_for(BEGUN, sweep, driver)
            server.stop()
            wait_for(WAITS, sweep, driver)
            server.start()
            wait_for(BACK, sweep, driver)
            server.stop()
            wait_for(ENDED, sweep, driver)
            time.sleep(20)
            assert driver.poll() is None, "it waits for MLflow"
            server.start()
            out, _ = driver.communicate(timeout=PATIENCE)
            assert driver.returncode == 0, sweep.notes()[-2000:]
        assert "| VpbSD" in out
        assert "Traceback" not in sweep.notes()
        assert rows_arrived_once(server.uri, Store(str(tmp_path / "study" / "store"))) > 20
        assert {status for _, status in sweep.runs()} == {"FINISHED"}


@pytest.mark.skipif(bool(why_no_postgres()), reason=why_no_postgres())
def test_postgresql_tells_the_same_tables_as_sqlite(tmp_path, folder):
    """One store, delivered to a SQLite file and to a server on PostgreSQL."""
    sweep = Sweep(tmp_path / "study", folder)
    tables = [finished(sweep.command, sweep)]
    with Postgres() as database, MlflowServer(tmp_path, database.uri) as server:
        there = Sweep(tmp_path / "study", folder, server.uri)
        tables.append(finished(there.command, there))
        tables.append(finished(there.command, there))
        store = Store(str(tmp_path / "study" / "store"))
        assert (
            rows_arrived_once(server.uri, store) == rows_arrived_once(sweep.tracking, store) > 20
        )
        assert there.runs() == sweep.runs()
    assert any("VpbSD" in line for line in tables[0])
    assert tables[0] == tables[1] == tables[2]


def finished(command, sweep):
    """The tables that a driver prints in the end."""
    with study_lock(command, sweep.home / "stderr") as driver:
        out, _ = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, sweep.notes()[-2000:]
    return table(out)
