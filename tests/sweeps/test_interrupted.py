"""Ctrl-C in a real sweep, as a terminal sends it: to the driver and all that it has started."""

import os
import signal
import subprocess
import time

import pytest

from tests.sweeps.real_sweep import BEGUN, PATIENCE, Sweep, table
from vpbsd.interruption import GOES_ON
from vpbsd_sweeps.execution.client import STOPPED


def started(sweep):
    """Starts the driver in a session of its own, as in a terminal of its own."""
    with (sweep.home / "stderr").open("w") as errors:
        return subprocess.Popen(
            [*sweep.command, "--arms", "light_unet"],
            cwd=sweep.home,
            env={**os.environ, "VPBSD_CHECKPOINT_SECONDS": "0"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def wait_until(reached, driver, sweep):
    while not reached():
        assert driver.poll() is None, sweep.notes()[-2000:]
        time.sleep(0.1)


def left(session):
    """Processes of a session that are still there, zombies too."""
    listed = subprocess.run(["ps", "-eo", "sess,pid,args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines()[1:] if int(line.split()[0]) == session]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_the_same_command_goes_on_after_ctrl_c(tmp_path, folder):
    sweep = Sweep(tmp_path / "study", folder)

    def checkpoints():
        return list(sweep.home.glob("store/running/*"))

    moments = [(lambda: BEGUN in sweep.notes(), 2), (checkpoints, 1)]
    for reached, presses in moments:
        driver = started(sweep)
        wait_until(reached, driver, sweep)
        for _ in range(presses):
            os.killpg(driver.pid, signal.SIGINT)
            time.sleep(0.3)
        out, _ = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 130, sweep.notes()[-2000:]
        said = sweep.notes()
        answers = [line for line in said.splitlines() if line.startswith("interrupted: ")]
        assert len(answers) == 1
        assert answers[0].endswith(GOES_ON)
        assert "Traceback" not in said
        assert table(out) == []
        while left(driver.pid):  # Ray's own processes end a moment after their driver
            time.sleep(0.1)
    assert STOPPED in answers[0]
    driver = started(sweep)
    out, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, sweep.notes()[-2000:]
    assert "| Light UNet (baseline) | " in out
    assert len(sweep.committed()) == 4, "two students and their evaluations"
    assert {status for _, status in sweep.runs()} == {"FINISHED"}
