"""Final training that is interrupted, and given again: by seeds, under the study's lock."""

import json
import signal
import sys
import time

import pytest

from tests.sweeps.real_sweep import PATIENCE, SCRIPTS, Sweep
from tests.sweeps.test_mlflow_server import finished, study_lock
from vpbsd_sweeps.store.lock import holder
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import open_tracker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def wait_for_checkpoint(sweep, driver):
    """Until a stage that runs has left a checkpoint."""
    deadline = time.monotonic() + PATIENCE
    while not list(sweep.home.glob("store/running/*/checkpoint.safetensors")):
        assert driver.poll() is None, sweep.notes()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_interrupted_final_training_goes_on(tmp_path, folder):
    """Two seeds; terminated at its first checkpoint, with the study's lock held."""
    sweep = Sweep(tmp_path / "study", folder)
    sweep.command += ["--arms", "baseline_mid"]
    finished(sweep.command, sweep)
    known = sweep.committed()
    words = ["--data", folder, *sweep.places, "--study", "chaos", "--seeds", "0,1", "--cpus", "2"]
    command = [sys.executable, SCRIPTS / "final.py", *words, "--out", tmp_path / "model"]
    with study_lock(command, sweep.home / "stderr") as driver:
        wait_for_checkpoint(sweep, driver)
        assert holder("chaos", Store(str(sweep.home / "store"))).pid == driver.pid
        driver.send_signal(signal.SIGTERM)
        driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 143, sweep.notes()[-2000:]
    assert "the same command goes on from here" in sweep.notes()
    assert not (tmp_path / "model").exists()
    for _ in range(2):
        with study_lock(command, sweep.home / "stderr") as driver:
            out, _ = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, sweep.notes()[-2000:]
        now = sweep.committed()
        assert known.items() <= now.items(), "nothing stored is trained again"
        known = now
    assert "5 stages, 5 of them stored" in out  # teacher, its answer, a student of each seed
    tracker = open_tracker(sweep.tracking, "chaos")
    versions = tracker.client.search_model_versions("name = 'chaos'")
    assert {(int(v.version), v.tags["vpbsd.seed"]) for v in versions} == {(1, "0"), (2, "1")}
    trials = {run.run_id for run in tracker.runs(tag.of_kind(tag.TRIAL_KIND))}
    assert set(versions[0].tags["vpbsd.trials"].split()) == trials
    finals = list(tracker.runs(tag.of_kind(tag.FINAL_KIND)))
    assert [run.status for run in finals] == ["FINISHED"] * 2
    for seed in (0, 1):
        folder = tmp_path / "model" / f"seed{seed}"
        assert json.loads((folder / "stage.json").read_text())["seed"] == seed
        assert f"seed {seed}" in (folder / "card.md").read_text()
