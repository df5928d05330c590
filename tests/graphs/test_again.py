"""Graphs of what was stopped, damaged or refused, and of what is asked for again."""

import numpy as np
import pytest
import tifffile

from tests.graphs.shapes import made, vessels
from vpbsd.errors import BadInput
from vpbsd.graphs import block as block_module
from vpbsd.graphs import graph as module
from vpbsd.graphs.block import skeletonise
from vpbsd.graphs.graph import graph
from vpbsd.graphs.lines import Line
from vpbsd.graphs.tables import _points_written, batches

MICROMETRE = (1.0, 1.0, 1.0)


def test_a_damaged_block_is_computed_anew(tmp_path, monkeypatch):
    mask = vessels((40, 64, 64))
    made(tmp_path, mask, name="whole", side=32)
    compute = module._compute

    def damaged(task):
        compute(task)
        task[3].write_bytes(task[3].read_bytes()[:100] if task[2][0].start else b"")

    monkeypatch.setattr(module, "_compute", damaged)
    with pytest.raises(
        BadInput, match="8 blocks were damaged .*0-0-0.npz.* give the command again"
    ):
        made(tmp_path, mask, side=32)
    monkeypatch.setattr(module, "_compute", compute)
    made(tmp_path, mask, side=32)
    points = [(tmp_path / name / "points.parquet").read_bytes() for name in ("whole", "graph")]
    assert points[0] == points[1]


def test_blocks_of_a_whole_graph_are_removed(tmp_path):
    mask = vessels((16, 32, 32))
    made(tmp_path, mask)
    (tmp_path / "graph/.blocks").mkdir()
    (tmp_path / "graph/.blocks/0-0-0.npz").write_bytes(b"")
    made(tmp_path, mask)
    assert not (tmp_path / "graph/.blocks").exists()


def test_an_image_is_drawn_behind_a_graph_that_is_there(tmp_path):
    mask = vessels((16, 32, 32))
    made(tmp_path, mask)
    picture = tmp_path / "graph/graph.png"
    before = picture.read_bytes()
    image = np.random.default_rng(0).integers(0, 999, mask.shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", image)
    made(tmp_path, mask, image=tmp_path / "image.tif")
    assert picture.read_bytes() != before


def test_a_million_points_are_read_by_whole_segments(tmp_path):
    many = 600_000
    points = np.zeros((many, 3))
    points[:, 2] = np.arange(many)
    line = Line(points, np.ones(many, np.float32), np.ones(many, bool), closed=False)
    _points_written(tmp_path / "points.parquet", [line, line])
    (part,) = batches(tmp_path / "points.parquet")
    assert np.bincount(part["segment"]).tolist() == [many, many]


def test_what_is_left_out_is_counted_once(monkeypatch):
    """Vessel all over, of which nothing is known: each block counts its own voxels."""
    monkeypatch.setattr(block_module, "WIDEST", 2)
    shape = (40, 40, 60)
    every = np.ones(shape, bool)
    cores = [(slice(10, 30), slice(10, 30), slice(a, a + 20)) for a in (10, 30)]
    for core in cores:
        found = skeletonise(lambda box: every[box], shape, MICROMETRE, core, halo=2)
        assert (found.left_out, found.vessel, found.in_doubt) == (8000, 8000, 0)


def test_a_radius_that_is_not_known_is_in_doubt_and_not_left_out(monkeypatch):
    """A line whose background may lie beyond what is read stays, its radius is in doubt."""
    monkeypatch.setattr(block_module, "WIDEST", 2)
    mask = np.zeros((9, 9, 60), bool)
    mask[4, 4] = True
    core = (slice(0, 9), slice(0, 9), slice(20, 40))
    found = skeletonise(lambda box: mask[box], mask.shape, (3.0, 3.0, 1.0), core, halo=1)
    assert found.left_out + len(found.index) == found.vessel == 20
    assert found.in_doubt > 0


def test_a_refused_mask_leaves_nothing_beside(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", vessels((16, 32, 32)).astype(np.uint8))
    with pytest.raises(BadInput, match=r"mask\.tif states no voxel size: give --spacing Z Y X"):
        graph(tmp_path / "mask.tif", tmp_path / "g")
    tifffile.imwrite(tmp_path / "image.tif", np.arange(8000, dtype=np.uint16).reshape(20, 20, 20))
    with pytest.raises(BadInput, match="is an image"):
        graph(tmp_path / "image.tif", tmp_path / "g", spacing_um=MICROMETRE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "mask.tif"]


def test_what_cannot_be_written_is_named(tmp_path):
    mask = vessels((16, 32, 32))
    made(tmp_path, mask, name="other")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file(/g)? cannot be read or written"):
        made(tmp_path, mask, name="file/g")
