"""A stage over two processes, through a real Ray Train; see execution/distributed.py."""

import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import torch

from tests import small
from tests.sweeps.toys import Count
from vpbsd import distributed as ranks
from vpbsd.data.folds import make_folds
from vpbsd.pipeline.recipes import trial
from vpbsd.pipeline.run import run
from vpbsd_sweeps.execution import cluster
from vpbsd_sweeps.execution.jobs import JobChain, Waiter, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.store.results import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_cores")]
PAIR = {"pre-training": Slice(ranks=2)}
EPOCHS = 5


@dataclass(frozen=True)
class Pair:
    """Adds up what all processes bring, in five epochs; the diary gets a line of each process.

    Attributes:
        trouble: What befalls the second process in the third epoch: "kill" once, or "fail".
    """

    diary: Path
    trouble: str = ""
    seconds: float = 0.0
    family = "pre-training"
    label = "pair"
    upstream = {}
    config = None
    runner = "tests.sweeps.test_distributed:run_pair"

    @property
    def key(self):
        return hashlib.sha256(f"pair {self.trouble}".encode()).hexdigest()

    def describe(self):
        names = ("trouble", "seconds")
        return {name: getattr(self, name) for name in names} | {"diary": str(self.diary)}

    def run(self, inputs, out, resume):
        rows = json.loads(resume.read_text()) if resume else []
        for epoch in range(len(rows), EPOCHS):
            if epoch == 2 and ranks.rank() == 1:
                self._suffer()
            total = 2 * float(ranks.average(torch.tensor(ranks.rank() + 1.0)))
            with self.diary.open("a") as diary:
                diary.write(f"{ranks.rank()} {epoch}\n")
            time.sleep(self.seconds)
            rows.append({"epoch": epoch + 1.0, "total": total, "time": 0.0})
            yield Count(rows, len(rows) / EPOCHS, lambda path: path.write_text(json.dumps(rows)))
        (out / "rows.json").write_text(json.dumps(rows))
        (out / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))

    def _suffer(self):
        mark = self.diary.with_name("killed")
        if self.trouble == "kill" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "fail":
            raise ValueError("cannot learn\nat all")


def run_pair(text, inputs, out, resume):
    told = json.loads(text)
    yield from Pair(**told | {"diary": Path(told["diary"])}).run(inputs, out, resume)


def train(stage, store, watch=lambda views: None):
    order = JobChain("trial", (job_of(stage),))
    return run_trials([order], store, PAIR, 1, watch)["trial"]


@pytest.fixture
def diary(tmp_path):
    (tmp_path / "diary").touch()
    return tmp_path / "diary"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def test_a_lost_process_ends_both_and_both_go_on(diary, store):
    stage = Pair(diary, "kill")
    assert train(stage, store) == ("finished", "")
    lines = diary.read_text().split("\n")[:-1]
    for rank in ("0", "1"):
        epochs = [int(line.split()[1]) for line in lines if line.startswith(rank)]
        assert epochs == list(range(EPOCHS)), "epochs before the kill are not repeated"
    rows = json.loads((store.open(stage.key) / "rows.json").read_text())
    assert [row["total"] for row in rows] == [3.0] * EPOCHS
    assert store.manifest(stage.key).metadata["ranks"] == 2
    assert store.checkpoints.names(stage.key) == []


def test_a_stage_nobody_waits_for_frees_its_cores_and_keeps_its_checkpoint(diary, store):
    stage = Pair(diary, seconds=1.0)
    scheduler, waiter = cluster.get_scheduler(store, PAIR), Waiter("session", "trial")
    ray.get(scheduler.request.remote(job_of(stage), waiter))
    wait_until(lambda: "0 2" in diary.read_text())
    ray.get(scheduler.release.remote(stage.key, waiter))
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2)
    left = len(diary.read_text().splitlines())
    assert store.state(stage.key) != "stored"
    assert train(stage, store) == ("finished", "")
    lines = diary.read_text().splitlines()
    assert lines[left:].count("0 4") == 1
    assert not {"0 0", "0 1"} & set(lines[left:]), "it goes on from the checkpoint"


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_what_one_process_has_to_say_fails_the_stage_at_once(diary, store):
    outcome, reason = train(Pair(diary, "fail"), store)
    assert outcome == "failed"
    assert reason.endswith("at all"), reason
    assert diary.read_text().split("\n")[:-1].count("0 1") == 1, "it is not tried again"


def test_the_processes_hold_both_cores_and_the_task_that_waits_none(diary, store):
    free = []
    train(Pair(diary), store, lambda views: free.append(ray.available_resources().get("CPU", 0)))
    assert min(free) == 0


def test_a_pre_training_over_two_processes_is_that_of_one(volumes, store, tmp_path):
    """Adam makes much of rounding: on two threads in place of one, losses differ by up to .06.

    `tests/test_ranks.py` has the numbers without it.
    """
    settings = small.settings(
        pretrain__network__codebook__size=3,
        pretrain__optim__batch=2,
        pretrain__optim__epochs=6,
        pretrain__optim__steps_per_epoch=5,  # half of them warm up: 60 tokens for three codes
    )
    last = trial(settings, "vpbsd", make_folds(volumes, settings.protocol)[0], 0)
    stage = next(s for s in last.lineage() if s.family == "pre-training")
    assert train(stage, store) == ("finished", "")
    alone = tmp_path / "alone"
    alone.mkdir()
    for _ in run(stage, {}, alone):
        pass
    told = [json.loads((f / "rows.json").read_text()) for f in (store.open(stage.key), alone)]
    assert len(told[0]) == len(told[1]) == 6
    for mine, theirs in zip(*told, strict=True):
        assert mine.keys() == theirs.keys()
        for name in ("step", "lr", "tau"):
            assert mine[name] == theirs[name]
        assert mine["loss/rec"] == pytest.approx(theirs["loss/rec"], rel=0.1)
