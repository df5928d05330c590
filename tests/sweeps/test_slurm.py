"""A sweep in a Slurm allocation, with stand-ins for srun and scontrol; Ray is real in one test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.sweeps.servers import free_port

HERE = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the script needs bash")


class Slurm:
    """An allocation of two nodes, both of them this host; its folder's path is short."""

    def __init__(self, home):
        self.home, self.bin, self.log = home, home / "bin", home / "scontrol.log"
        self.bin.mkdir()
        for name in ("srun", "scontrol"):
            (self.bin / name).symlink_to(HERE / "tests/sweeps/slurm_stand_in.sh")
        self.log.touch()
        (home / "epochs.log").touch()
        self.port = 20_000 + free_port() % 10_000
        self.job = 70_000 + self.port % 10_000

    def program(self, name, text):
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (self.bin / name).chmod(0o755)

    def batch(self, *words, **env):
        path = os.pathsep.join(
            [str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        ours = {
            "SLURM_JOB_ID": str(self.job),
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_JOB_NODELIST": "n[1-2]",
        }
        ours |= {"SLURM_CPUS_ON_NODE": "1", "SLURM_LOG": str(self.log), "PATH": path}
        ours |= {"VPBSD_SLURM_TMP": str(self.home), "RAY_AUTH_MODE": "disabled"}
        ours |= {"PYTHONPATH": str(HERE), "VPBSD_CHECKPOINT_SECONDS": "0"}
        with (self.home / "stderr").open("a") as errors:
            return subprocess.Popen(
                ["bash", str(HERE / "cluster/slurm.sh"), *map(str, words)],
                env={**os.environ, **ours, **env},
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def requeued(self):
        return [line for line in self.log.read_text().splitlines() if line.startswith("requeue")]


@pytest.fixture
def slurm():
    home = Path(tempfile.mkdtemp(prefix="sl", dir="/tmp"))
    yield Slurm(home)
    shutil.rmtree(home, ignore_errors=True)


def wait_for(path, what, batch):
    while what not in (path.read_text() if path.exists() else ""):
        assert batch.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("word", ["USR1", "TERM"])
@pytest.mark.parametrize("state", ["RUNNING", "CANCELLED"])
def test_a_signal_ends_the_command_in_good_order_and_queues_the_job_again(slurm, word, state):
    slurm.program("ray", f'echo "$*" >> {slurm.home}/ray.log; exec sleep 100')
    slurm.program("python", "exit 0")  # all nodes are there
    slurm.program(
        "sweep",
        f"trap 'echo saved; exit 143' TERM; touch {slurm.home}/begun\nwhile :; do sleep .1; done",
    )
    batch = slurm.batch("sweep", SLURM_STATE=state)
    while not (slurm.home / "begun").exists():
        assert batch.poll() is None
        time.sleep(0.02)
    wait_for(slurm.home / "ray.log", "--address=127.0.0.1:", batch)
    os.kill(batch.pid, getattr(signal, f"SIG{word}"))
    out, _ = batch.communicate(timeout=60)
    assert out.startswith("saved\n")
    assert slurm.requeued() == ([f"requeue {slurm.job}"] if state == "RUNNING" else [])
    starts = (slurm.home / "ray.log").read_text()
    assert f"start --head --port={slurm.port} " in starts


def test_a_command_that_cannot_begin_ends_the_job_as_failed(slurm):
    slurm.program("ray", "exec sleep 100")
    slurm.program("python", "exit 0")
    batch = slurm.batch("no-such-sweep")
    batch.communicate(timeout=60)
    assert batch.returncode == 127
    assert slurm.requeued() == []


def test_what_ends_by_itself_is_not_queued_again(slurm):
    slurm.program("ray", "exec sleep 100")
    slurm.program("python", "exit 0")
    slurm.program("sweep", "exit $1")
    for code in (0, 2):
        batch = slurm.batch("sweep", code)
        batch.communicate(timeout=60)
        assert batch.returncode == code
    assert slurm.requeued() == []


@pytest.mark.slow
def test_a_search_over_two_nodes_goes_on_after_its_time_was_up(slurm):
    home = slurm.home
    words = ["python", "-m", "tests.sweeps.search_storm", home, home / "store"]
    batch = slurm.batch(*words)
    wait_for(home / "epochs.log", "student", batch)
    os.kill(batch.pid, signal.SIGUSR1)
    batch.communicate(timeout=120)
    assert slurm.requeued() == [f"requeue {slurm.job}"], (home / "stderr").read_text()[-2000:]
    before = (home / "epochs.log").read_text().splitlines()
    batch = slurm.batch(*words, SLURM_RESTART_COUNT="1")
    out, _ = batch.communicate(timeout=400)
    assert batch.returncode == 0, (home / "stderr").read_text()[-3000:]
    assert len(slurm.requeued()) == 1
    after = (home / "epochs.log").read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) - len(set(after)) <= 2, "an epoch of each node at most"
    assert out.count("complete") + out.count("stopped") >= 4
