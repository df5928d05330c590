"""Clusters of several nodes: one is lost, then all; a store only one sees, a store in a bucket."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps.nodes import EPOCHS, chain
from vpbsd_sweeps.store.results import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    (tmp_path / "epochs.log").touch()
    return tmp_path


def play(*words):
    """Runs one of the programs in nodes.py; returns (exit code, output, errors)."""
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.sweeps.nodes", *map(str, words)],
        cwd=here,
        env={
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "VPBSD_CHECKPOINT_SECONDS": "0",
            "PYTHONPATH": os.pathsep.join([str(here), *sys.path]),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def test_stages_survive_the_loss_of_their_node_and_of_the_whole_cluster(home):
    """Each of three stages of six epochs; two losses, and at most one epoch is repeated each."""
    code, _, errors = play("lose", home)
    assert code == 9, errors
    code, output, errors = play("anew", home, home / "store")
    assert "{'trial': ('finished', '')}" in output, errors
    lines = (home / "epochs.log").read_text().splitlines()
    epochs = {
        name: [int(i.split()[1]) for i in lines if name in i]
        for name in ("first", "second", "third")
    }
    assert epochs["first"] == list(range(EPOCHS)), "committed before: not trained again"
    for name in ("second", "third"):
        assert sorted(set(epochs[name])) == list(range(EPOCHS))
        assert epochs[name] == sorted(epochs[name]), "it goes on, it does not start over"
        assert len(epochs[name]) <= EPOCHS + 1
    last = chain(home)[-1]
    assert (Store(str(home / "store")).open(last.key) / "sum.json").read_text() == str(3 * EPOCHS)


def test_a_store_that_a_node_does_not_see_is_refused(home):
    code, _, errors = play("apart", home)
    assert code == 2
    refusals = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(refusals) == 1
    assert "the store /proc/self/cwd/store is not the same folder on node" in refusals[0]
    assert (home / "epochs.log").read_text() == ""


def test_a_sweep_whose_store_is_a_bucket(home, bucket, monkeypatch):
    monkeypatch.setenv("VPBSD_CACHE", str(home / "cache"))
    for _ in range(2):
        _, output, errors = play("anew", home, "s3://results/runs")
        assert "{'trial': ('finished', '')}" in output, errors
    lines = (home / "epochs.log").read_text().splitlines()
    assert len(lines) == 3 * EPOCHS, "the second time nothing is trained"
    last = chain(home)[-1]
    assert (Store("s3://results/runs").open(last.key) / "sum.json").read_text() == str(3 * EPOCHS)
    keys = [entry["Key"] for entry in bucket.list_objects_v2(Bucket="results")["Contents"]]
    assert not [key for key in keys if key.startswith("runs/running/")], "checkpoints are cleared"
