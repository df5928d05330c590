"""Graphs of shapes whose numbers are known by hand; blocks, refusals, and going on."""

import json
import subprocess
import sys
from itertools import pairwise

import meshio
import numpy as np
import pytest
import tifffile
import zarr

from tests.graphs.shapes import ball_along, made, torus, vessels
from vpbsd.data.volume_writer import write_array
from vpbsd.errors import BadInput
from vpbsd.graphs import graph as module
from vpbsd.graphs.geometry import length, smoothed
from vpbsd.graphs.graph import graph
from vpbsd.graphs.tables import read_parquet
from vpbsd.inference.mask import MaskFile

TABLES = ("segments", "nodes", "points")


def test_a_tube_through_the_volume(tmp_path):
    z, y, _ = np.indices((25, 25, 61))
    summary, segments, nodes = made(tmp_path, np.hypot(z - 12, y - 12) <= 5, (2.0, 2.0, 2.0))
    assert segments["length_um"].tolist() == [120.0], "61 voxels of 2 um, centre to centre"
    assert segments["tortuosity"].tolist() == [1.0]
    # The nearest background centres lie at (5, 1) voxels: sqrt(26) = 5.099.
    assert segments["radius_um"] == pytest.approx([2 * 26**0.5], abs=0.001)
    assert nodes["kind"].tolist() == ["end", "end"]
    assert nodes["at_face"].all()
    assert nodes["x_um"].tolist() == [0, 120]
    assert set(zip(nodes["z_um"], nodes["y_um"], strict=True)) == {(24.0, 24.0)}
    volume = 25 * 25 * 61 * 8 / 1e9
    assert summary["length_density_mm_per_mm3"] == pytest.approx(0.120 / volume)
    assert summary["vessel_share"] == pytest.approx(81 / 625), "81 of a disc's 625 voxels"
    assert (summary["branch_points"], summary["components"], summary["loops"]) == (0, 1, 0)


def test_a_tube_of_voxels_that_are_no_cubes(tmp_path):
    """Radius 6 um around x, at 3 x 1.5 x 1.5 um."""
    z, y, _ = np.indices((15, 29, 40))
    mask = np.hypot(3 * (z - 7), 1.5 * (y - 14)) <= 6
    _, segments, nodes = made(tmp_path, mask, (3.0, 1.5, 1.5))
    assert segments["length_um"].tolist() == [39 * 1.5]
    # The nearest background centre lies two voxels of 3 um above and one of 1.5 beside.
    assert segments["radius_um"] == pytest.approx([(6**2 + 1.5**2) ** 0.5], abs=0.001)
    assert set(zip(nodes["z_um"], nodes["y_um"], strict=True)) == {(21.0, 21.0)}


def test_a_y(tmp_path):
    shape, middle = (25, 81, 81), (12, 40, 40)
    ends = [(12, 0, 40), (12, 80, 10), (12, 80, 70)]
    mask = np.any([ball_along(shape, middle, end, 4) for end in ends], axis=0)
    summary, segments, nodes = made(tmp_path, mask)
    assert sorted(nodes["kind"]) == ["branch", "end", "end", "end"]
    assert nodes["degree"].tolist() == [3 if kind == "branch" else 1 for kind in nodes["kind"]]
    (branch,) = np.flatnonzero(nodes["kind"] == "branch")
    assert [nodes[f"{axis}_um"][branch] for axis in "zyx"] == pytest.approx(middle, abs=1.5)
    assert sorted(segments["length_um"]) == pytest.approx([40, 50, 50], rel=0.05)
    assert summary["branch_points_per_mm3"] == pytest.approx(1 / (25 * 81 * 81 / 1e9))
    assert summary["loops"] == 0


@pytest.mark.parametrize(
    ("shape", "spacing"), [((16, 64, 64), (1.0, 1.0, 1.0)), ((12, 64, 64), (2.0, 1.0, 1.0))]
)
def test_a_torus_is_closed(tmp_path, shape, spacing):
    mask = torus(shape, 22, 4, spacing)
    summary, segments, nodes = made(tmp_path, mask, spacing)
    assert len(nodes["node"]) == 0
    assert segments["node_a"].tolist() == segments["node_b"].tolist() == [-1]
    assert segments["length_um"] == pytest.approx([2 * np.pi * 22], rel=0.02)
    assert segments["radius_um"] == pytest.approx([4], abs=0.5)
    assert np.isnan(segments["tortuosity"]).all()
    assert (summary["loops"], summary["components"], summary["end_points"]) == (1, 1, 0)


def test_a_ring_over_several_blocks_begins_and_turns_the_same_way(tmp_path):
    mask = torus((16, 64, 64), 20, 3)
    for name, side in (("one", 64), ("many", 23)):
        made(tmp_path, mask, name=name, side=side)
    one, many = (tmp_path / name / "points.parquet" for name in ("one", "many"))
    assert one.read_bytes() == many.read_bytes()


def test_closed_lines_come_back():
    square = np.array([[0.0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]])
    assert length(square, closed=True) == 4
    assert length(square, closed=False) == 3
    octagon = np.stack([np.zeros(8), *(f(np.arange(8) * np.pi / 4) for f in (np.sin, np.cos))], 1)
    radii = np.linalg.norm(smoothed(octagon, closed=True), axis=1)
    assert radii == pytest.approx([(1 + 2 * 0.5**0.5) / 5] * 8), "(1 + 2 cos 45 + 2 cos 90) / 5"


def test_loops_components_and_specks_are_counted(tmp_path):
    shape = (16, 64, 140)
    mask = np.zeros(shape, bool)
    mask[:, :, :64] = torus((16, 64, 64), 20, 3)
    mask |= ball_along(shape, (8, 32, 50), (8, 32, 139), 2)  # leaves the torus
    mask |= ball_along(shape, (8, 60, 80), (8, 60, 139), 2)
    mask[3:6, 5:8, 100:103] = True  # a speck
    summary, *_ = made(tmp_path, mask)
    assert (summary["loops"], summary["components"], summary["specks_removed"]) == (1, 2, 1)
    assert (summary["branch_points"], summary["end_points"]) == (1, 3)


@pytest.mark.parametrize(("sticks_out", "kept"), [(6, False), (16, True)])
def test_what_sticks_out_less_than_the_minimum_is_a_spur(tmp_path, sticks_out, kept):
    """Of a vessel of radius 6: counted from its wall, not from its centre."""
    shape = (25, 60, 90)
    mask = ball_along(shape, (12, 18, 0), (12, 18, 89), 6)
    mask |= ball_along(shape, (12, 18, 45), (12, 24 + sticks_out - 2, 45), 2)
    summary, segments, _ = made(tmp_path, mask)
    assert summary["spurs_removed"] == (not kept)
    assert len(segments["segment"]) == (3 if kept else 1)
    if not kept:
        assert segments["length_um"] == pytest.approx([89], abs=1.5), "one vessel again"


def test_blocks_give_what_one_piece_gives(tmp_path):
    mask = vessels((40, 64, 72))
    mask[:16, :40, :40] |= torus((16, 40, 40), 15, 2)
    spacing = (3.0, 1.6, 1.6)
    one, segments, _ = made(tmp_path, mask, spacing, "one")
    many, *_ = made(tmp_path, mask, spacing, "many", side=36)
    assert len(segments["segment"]) > 20
    for table in TABLES:
        a, b = (tmp_path / out / f"{table}.parquet" for out in ("one", "many"))
        assert a.read_bytes() == b.read_bytes(), table
    assert {**one, "source": None} == {**many, "source": None}
    assert one["voxels_left_out"] == 0


def test_tables_hang_together(tmp_path):
    summary, segments, nodes = made(tmp_path, vessels((40, 64, 64)), (3.0, 1.6, 1.6))
    points = read_parquet(tmp_path / "graph/points.parquet")
    places = np.stack([points[f"{axis}_um"] for axis in "zyx"], axis=1)
    for i in range(len(segments["segment"])):
        mine = places[points["segment"] == i]
        assert len(mine) == segments["points"][i] + (segments["node_a"][i] < 0)
        steps = sum(np.linalg.norm(b - a) for a, b in pairwise(mine))
        assert segments["length_um"][i] == pytest.approx(steps, rel=1e-5)
        for node, at in (("node_a", 0), ("node_b", -1)):
            if segments[node][i] >= 0:
                place = [nodes[f"{axis}_um"][segments[node][i]] for axis in "zyx"]
                assert mine[at] == pytest.approx(place, abs=1e-3)
                assert nodes["component"][segments[node][i]] == segments["component"][i]
    assert summary["length_mm"] == pytest.approx(segments["length_um"].sum() / 1000)
    file = meshio.read(tmp_path / "graph/graph.vtu")
    lengths = np.linalg.norm(np.diff(file.points[file.cells[0].data], axis=1)[:, 0], axis=1)
    assert lengths.sum() == pytest.approx(segments["length_um"].sum(), rel=1e-5)
    assert np.array_equal(file.points[:, ::-1].astype(np.float32), places)


def written(tmp_path, mask, *, whole=True):
    """A mask as `segment` writes it, or only begins to."""
    voxels = mask.astype(np.uint8)
    info = write_array(tmp_path / "data", "v", voxels, spacing_um=(2.0, 1.0, 1.0), group="g")
    file = MaskFile(tmp_path / "m.ome.zarr", info, {"model": "a"}, 256)
    if whole:
        for block in file.left():
            file.commit(block, file.write(block, mask[block].astype(np.float32)))
        file.write_levels()
    return tmp_path / "m.ome.zarr"


def test_a_mask_of_segment_states_its_voxel_size(tmp_path):
    mask = np.zeros((9, 9, 70), bool)
    mask[4, 4] = True
    path = written(tmp_path, mask)
    assert graph(path, tmp_path / "g")["length_mm"] == pytest.approx(0.069)
    stated = graph(path, tmp_path / "h", spacing_um=(1.0, 1.0, 10.0))
    assert stated["length_mm"] == pytest.approx(0.69)


def test_an_unfinished_or_damaged_mask_is_refused(tmp_path):
    mask = vessels((32, 64, 72))
    path = written(tmp_path, mask, whole=False)
    with pytest.raises(BadInput, match="not finished, 1 of 1 blocks"):
        graph(path, tmp_path / "g")
    assert not (tmp_path / "g").exists()
    path = written(tmp_path, mask)
    (lost, *_) = [p for p in (path / "0" / "c").rglob("*") if p.is_file()]
    lost.unlink()  # zarr would give zeros
    with pytest.raises(BadInput, match="lost or damaged chunks"):
        graph(path, tmp_path / "g")


def test_each_of_several_blocks_is_checked(tmp_path):
    """300 voxels are blocks of 256 and 44, not two of 150."""
    path = written(tmp_path, np.ones((8, 8, 300), bool))
    (path / "0/c/0/0/1").unlink()
    with pytest.raises(BadInput, match=r"lost or damaged chunks at \[0, 0, 256\]"):
        graph(path, tmp_path / "g", workers=1)


def test_an_image_is_no_mask(tmp_path):
    image = np.arange(8000, dtype=np.uint16).reshape(20, 20, 20)
    tifffile.imwrite(tmp_path / "image.tif", image)
    with pytest.raises(BadInput, match="is an image, not a mask"):
        graph(tmp_path / "image.tif", tmp_path / "g", spacing_um=(1.0, 1.0, 1.0))


def test_a_voxel_size_is_needed(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", vessels((16, 32, 32)).astype(np.uint8))
    with pytest.raises(BadInput, match="give --spacing Z Y X"):
        graph(tmp_path / "mask.tif", tmp_path / "g")
    assert graph(tmp_path / "mask.tif", tmp_path / "g", spacing_um=(1.0, 1.0, 1.0))["segments"]


def test_another_output_is_refused(tmp_path):
    mask = vessels((16, 32, 32))
    made(tmp_path, mask)
    with pytest.raises(BadInput, match="no graph of this mask with these settings"):
        made(tmp_path, mask, min_length_um=5.0)
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadInput, match="choose another name"):
        made(tmp_path, mask, name="mine")


@pytest.mark.parametrize("least", [0.0, -1.0, float("nan")])
def test_a_minimum_is_positive(tmp_path, least):
    with pytest.raises(BadInput, match="--min-length"):
        graph(tmp_path / "mask", tmp_path / "g", min_length_um=least)


def test_it_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    mask = vessels((40, 64, 64))
    made(tmp_path, mask, name="whole", side=32)
    compute, calls = module._compute, []

    def stopped(task):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(task[2])
        compute(task)

    monkeypatch.setattr(module, "_compute", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, mask, side=32)
    assert not (tmp_path / "graph" / "summary.json").exists()
    first = calls[:]
    calls.clear()
    monkeypatch.setattr(module, "_compute", lambda task: (calls.append(task[2]), compute(task)))
    made(tmp_path, mask, side=32)
    assert len(calls) == 8 - 3
    assert not [block for block in calls if block in first]
    for table in TABLES:
        a, b = (tmp_path / out / f"{table}.parquet" for out in ("whole", "graph"))
        assert a.read_bytes() == b.read_bytes()
    assert sorted(p.name for p in (tmp_path / "graph").iterdir()) == sorted(
        ["graph.vtu", "graph.png", "summary.json", *(f"{table}.parquet" for table in TABLES)]
    )


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NEEDED", {"no_such_module": "its-package"})
    with pytest.raises(BadInput, match=r"graphs need its-package: pip install 'vpbsd\[graph\]'"):
        graph(tmp_path / "mask", tmp_path / "g")


@pytest.mark.slow
def test_the_command_spreads_blocks_over_processes(tmp_path, monkeypatch):
    mask = vessels((40, 64, 300))
    _, segments, _ = made(tmp_path, mask, name="one")
    command = [
        sys.executable,
        "-m",
        "vpbsd",
        "graph",
        "data/mask.ome.zarr",
        "two",
        "--workers",
        "2",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "block 2/2" in ran.stderr
    assert f"segments                     {len(segments['segment'])}\n" in ran.stdout
    assert (tmp_path / "one/points.parquet").read_bytes() == (
        tmp_path / "two/points.parquet"
    ).read_bytes()
    assert json.loads((tmp_path / "two/summary.json").read_text())["segments"]
    assert zarr.open_array(tmp_path / "data/mask.ome.zarr/0", mode="r").shape == mask.shape
