"""A sweep of toys is killed in four ways and ends as if it had not been; `make chaos` is long."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweeps.faults import HOW, kill
from tests.sweeps.storm import EPOCHS, trials
from vpbsd_sweeps.store.results import Store

CODES = dict(zip(HOW, (-9, 143, 130, 0), strict=True))
STAGES = 4


@pytest.fixture
def home(tmp_path):
    (tmp_path / "epochs.log").touch()
    return tmp_path


def start(home):
    here = Path(__file__).parents[2]
    path = os.pathsep.join([str(here), *sys.path])
    with (home / "stderr").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.sweeps.storm", str(home)],
            cwd=here,
            env={**os.environ, "VPBSD_CHECKPOINT_SECONDS": "0", "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def lines(home):
    return (home / "epochs.log").read_text().splitlines()


def committed(home):
    found = home.glob("store/results/*/manifest.json")
    return {path.parent.name: json.loads(path.read_text())["attempt"] for path in found}


def hit(home, how, after):
    """Starts it and kills something as soon as so many more epochs were run; its output."""
    goal, driver = len(lines(home)) + after, start(home)
    while len(lines(home)) < goal:
        assert driver.poll() is None, (home / "stderr").read_text()[-2000:]
        time.sleep(0.02)
    assert kill(driver, how)
    out, _ = driver.communicate(timeout=200)
    assert driver.returncode == CODES[how], (how, (home / "stderr").read_text()[-2000:])
    return out


@pytest.mark.slow
@pytest.mark.parametrize("ways", [(HOW[0], HOW[-1]), tuple(HOW)], ids=len)
def test_killed_in_several_ways_it_trains_nothing_twice_and_loses_nothing(home, ways):
    rng, known = random.Random(1), {}
    for how in ways:
        out = hit(home, how, rng.randint(1, 3))
        now = committed(home)
        assert {key: now.get(key) for key in known} == known, "a committed stage was made again"
        known = now
    ended = ", ".join(f"('student{n}', ('finished', ''))" for n in range(3))
    assert out.splitlines()[-1] == f"[{ended}]", "a lost worker ends nothing"
    assert len(known) == STAGES
    students, store = trials(home), Store(str(home / "store"))
    for toy in students:
        assert (store.open(toy.key) / "sum.json").read_text() == str(2 * EPOCHS)
    for label in ("teacher", *(toy.label for toy in students)):
        epochs = [int(line.split()[1]) for line in lines(home) if line.startswith(label)]
        assert sorted(set(epochs)) == list(range(EPOCHS))
        assert epochs == sorted(epochs), "it goes on, it does not start over"
    assert len(lines(home)) <= STAGES * EPOCHS + 2 * len(ways), "an epoch of each of two stages"
    assert list(home.glob("store/running/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True], ids=["in peace", "one is killed"])
def test_two_clusters_on_one_store_train_each_stage_once(home, killed):
    """Two Rays, each with a scheduler of its own; before leases both trained all four."""
    both = [start(home) for _ in "ab"]
    if killed:
        while len(lines(home)) < 2:
            time.sleep(0.02)
        lost = both.pop(0)
        assert kill(lost, "SIGKILL the driver")
        lost.communicate(timeout=60)
    ended = ", ".join(f"('student{n}', ('finished', ''))" for n in range(3))
    for driver in both:
        out, _ = driver.communicate(timeout=200)
        assert out.splitlines()[-1] == f"[{ended}]"
    ran = len(lines(home)) - STAGES * EPOCHS
    assert 0 <= ran <= 2 * killed, "an epoch of each of two stages"
    assert len(committed(home)) == STAGES
