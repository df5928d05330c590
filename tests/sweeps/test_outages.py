"""The store is away in the middle of a search: nothing changes but time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from tests.sweeps.s3 import S3Server  # noqa: E402 (it imports both)

HERE = Path(__file__).parents[2]


def run(home, store, env, during=lambda lines: None):
    """Runs a search of toys, one trial after the other; meanwhile calls `during` with its log."""
    home.mkdir()
    (home / "epochs.log").touch()
    with (home / "stderr").open("w") as errors:
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.sweeps.search_storm", str(home), store],
            cwd=HERE,
            env={**os.environ, **env, "VPBSD_CHECKPOINT_SECONDS": "0", "TOY_CPUS": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    while driver.poll() is None:
        during((home / "epochs.log").read_text().splitlines())
        time.sleep(0.1)
    assert driver.returncode == 0, (home / "stderr").read_text()[-3000:]
    out, _ = driver.communicate()
    return out, sorted((home / "epochs.log").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [15, 120, 590])
def test_an_outage_changes_nothing_but_time(seconds, tmp_path):
    """Of the first search's store, once a student is on its way; the second search has peace."""
    cuts = []

    with S3Server() as s3:
        env = {**s3.env, "VPBSD_CACHE": str(tmp_path / "cache")}

        def during(lines):
            students = sum(line.startswith("student") for line in lines)
            if not s3.away and not cuts and students >= 3:
                s3.away = True
                cuts.append(time.monotonic() + seconds)
            if s3.away and time.monotonic() > cuts[0]:
                s3.away = False

        stormy = run(tmp_path / "stormy", "s3://results/stormy", env, during)
        calm = run(tmp_path / "calm", "s3://results/calm", env)
        assert s3.refused > 0
    assert len(cuts) == 1
    assert stormy[0] == calm[0], "every trial ends the same way, with the same scores"
    assert stormy[1] == calm[1], "the same epochs, each once"
