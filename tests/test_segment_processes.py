"""A segmentation that is spread over processes: the same bytes, whoever is killed, and when."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.students import of_two_minds
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume
from vpbsd.errors import BadInput
from vpbsd.inference import segment as segmenting
from vpbsd.inference.processes import TRIES, processes
from vpbsd.inference.segment import segment
from vpbsd.inference.tiling import Tiling
from vpbsd.inference.work import Work

DEATHS = "deaths"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A student whose head is of two minds about every volume."""
    return of_two_minds(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(segmenting, "TILING", Tiling(64, 32))


@dataclass(frozen=True)
class Deadly(Work):
    """Kills its process at the first pieces of some rounds."""

    room: Path = Path()
    rounds: tuple = ()
    times: int = 1

    def __call__(self, piece):
        graves = list(self.room.glob(f"{piece.round}*"))
        if len(graves) < self.times and piece.round in self.rounds:
            (self.room / f"{piece.round}{len(graves)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(piece)


def deadly(work, room, rounds=("context", "deep", "answer"), times=1, devices=("cpu",)):
    return processes(Deadly(work.volume, work.file, room, rounds, times), devices)


def content(out):
    files = sorted(p for p in out.rglob("*") if p.is_file())
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


@pytest.mark.slow
@pytest.mark.parametrize(
    "rounds", [("answer",), ("answer", "context", "deep")], ids=["one", "three"]
)
def test_a_lost_worker_costs_its_pieces(rounds, model, volumes, tmp_path):
    """One is killed in each round; the mask is the one that this process makes, to the byte."""
    (graves := tmp_path / "graves").mkdir()
    segment(model, volumes[1].path, tmp_path / "here", probability=True, uncertainty=True)
    spread = partial(deadly, room=graves, rounds=rounds)
    segment(
        model, volumes[1].path, tmp_path / "out", probability=True, uncertainty=True, spread=spread
    )
    assert sorted(p.name for p in graves.iterdir()) == [f"{r}0" for r in rounds]
    assert zarr.open_array(tmp_path / "out" / "0", mode="r")[:].any()
    assert content(tmp_path / "out") == content(tmp_path / "here")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graves", "here", "out"]


@pytest.mark.slow
def test_a_piece_that_kills_every_worker_is_one_line(model, volumes, tmp_path):
    spread = partial(deadly, room=tmp_path, times=TRIES)
    with pytest.raises(
        BadInput, match=r"3 processes ended at the block at 0 0 0 \(exit code -9\)"
    ):
        segment(model, volumes[1].path, tmp_path / "out", spread=spread)


@pytest.mark.slow
def test_an_error_of_a_worker_is_the_error_of_the_run(model, volumes, tmp_path):
    image = open_volume(volumes[1]).image_block((slice(None),) * 3)
    info = write_array(tmp_path, "v", image, spacing_um=None, group="g")
    chunk = Path(info.path, "0", "c", "0", "0", "1")

    def spread(work):
        chunk.write_bytes(chunk.read_bytes()[:-9])
        return processes(work, ["cpu", "cpu"])

    with pytest.raises(BadInput, match=f"{chunk} is damaged"):
        segment(model, info.path, tmp_path / "out", spread=spread)


PROGRAM = """
from vpbsd.inference import segment as s
from vpbsd.inference.processes import processes
from vpbsd.inference.tiling import Tiling
import sys
if __name__ == "__main__":
    s.TILING = Tiling(64, 32)
    s.segment(*sys.argv[1:], spread=lambda work: processes(work, ["cpu", "cpu"]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(model, tmp_path):
    """Killed again and again, at any time; its workers end with it."""
    rng = np.random.default_rng(0)
    image = (rng.gamma(2, 300, (96, 128, 160))).astype(np.uint16)
    image = np.add.reduce([np.roll(image, i, 2) for i in range(5)]).astype(np.uint16)
    info = write_array(tmp_path, "v", image, spacing_um=None, group="g")
    segment(model, info.path, tmp_path / "here")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(model), info.path]
    out, seen = tmp_path / "out", set()
    for _ in range(40):
        with (tmp_path / "log").open("w") as log:
            run = subprocess.Popen([*command, str(out)], stderr=log, start_new_session=True)
        while run.poll() is None and len((tmp_path / "log").read_text().splitlines()) < 50:
            time.sleep(0.05)
        if run.poll() is not None:
            break
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        seen.add((tmp_path / "log").read_text().splitlines()[-1].split(",")[0])
    assert run.returncode == 0, (tmp_path / "log").read_text()
    assert len(seen) > 1, "it was killed in the middle"
    assert zarr.open_array(out / "0", mode="r")[:].any()
    assert content(out) == content(tmp_path / "here")
