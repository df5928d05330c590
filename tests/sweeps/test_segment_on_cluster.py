"""A segmentation on Ray: the bytes that one process makes, though a worker is killed."""

import os
import signal
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import zarr

from vpbsd.commands import segmenting as command
from vpbsd.config import Data, LightNet
from vpbsd.errors import BadInput
from vpbsd.inference import segment as segmenting
from vpbsd.inference.model import write_settings
from vpbsd.inference.segment import segment
from vpbsd.inference.tiling import Tiling
from vpbsd.inference.work import Work
from vpbsd.networks.build import build_network, save_network
from vpbsd_sweeps.execution import segmentation
from vpbsd_sweeps.execution.segmentation import cluster, on_cluster


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A student whose head is of two minds about every volume; small blocks."""
    monkeypatch.setattr(segmenting, "TILING", Tiling(64, 32))
    folder = tmp_path / "model"
    folder.mkdir()
    network = build_network(LightNet(), 0)
    with torch.no_grad():
        network.head.weight.mul_(20)
    save_network(folder, network, LightNet())
    write_settings(folder, Data(patch=(32, 32, 64), clip_percentile=99.0))
    return folder


@dataclass(frozen=True)
class Deadly(Work):
    """Kills its process at the first answer."""

    grave: Path = Path()

    def __call__(self, piece):
        if piece.round == "answer" and not self.grave.exists():
            self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(piece)


@pytest.mark.slow
def test_a_lost_worker_costs_its_piece(model, volumes, tmp_path, two_cores):
    segment(model, volumes[1].path, tmp_path / "here")

    def spread(work):
        return cluster(Deadly(work.volume, work.file, tmp_path / "grave"))

    segment(model, volumes[1].path, tmp_path / "out", spread=spread)
    assert (tmp_path / "grave").exists()
    assert zarr.open_array(tmp_path / "out" / "0", mode="r")[:].any()
    assert content(tmp_path / "out") == content(tmp_path / "here")


@pytest.mark.slow
def test_a_node_that_does_not_see_the_mask_is_named(model, volumes, tmp_path, two_cores):
    def spread(work):
        work.file.path = tmp_path / "elsewhere"
        return cluster(work)

    with pytest.raises(BadInput, match="elsewhere is not on node .*: every node must find the"):
        segment(model, volumes[1].path, tmp_path / "out", spread=spread)


def test_what_was_handed_to_ray_is_cancelled_on_an_error(monkeypatch):
    handed, cancelled = [], []
    remote = lambda work, piece: handed.append(piece) or piece  # noqa: E731
    compute = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=remote))
    here = SimpleNamespace(
        put=lambda work: work,
        cluster_resources=lambda: {"CPU": 2},
        wait=lambda running: (running[:1], running[1:]),
        get=lambda done: 0,
        cancel=cancelled.append,
    )
    monkeypatch.setattr(segmentation, "ray", here)
    monkeypatch.setattr(segmentation, "_compute", compute)
    monkeypatch.setattr(segmentation, "connect", lambda: None)
    work = SimpleNamespace(volume=SimpleNamespace(to=lambda device: None))

    def interrupted():
        with cluster(work) as run:
            assert next(run("abcdefgh")) == ("a", 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert handed == list("abcd")
    assert cancelled == list("bcd")


def test_a_cluster_is_found_by_its_entry_point(monkeypatch):
    point = EntryPoint(
        "cluster", "vpbsd_sweeps.execution.segmentation:on_cluster", "vpbsd.spreads"
    )
    known = {("vpbsd.spreads", "cluster"): [point]}
    monkeypatch.setattr(command, "entry_points", lambda group, name: known.get((group, name), []))
    found = command._spread(None, "auto")
    assert isinstance(found, partial)
    assert found.keywords == {"address": "auto"}
    assert found.func is on_cluster("auto").func
    known.clear()
    with pytest.raises(BadInput, match="--cluster needs the package vpbsd_sweeps"):
        command._spread(None, "auto")


def content(out):
    files = sorted(p for p in out.rglob("*") if p.is_file())
    return {str(p.relative_to(out)): p.read_bytes() for p in files}
