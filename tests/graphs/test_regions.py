"""A made-up brain whose regions hold what can be counted by hand."""

import csv

import numpy as np
import pytest
import tifffile

from vpbsd.data.volume_writer import write_array
from vpbsd.errors import BadInput
from vpbsd.graphs.atlas import Atlas, read_names
from vpbsd.graphs.graph import graph
from vpbsd.graphs.regions import regions

SPACING = (2.0, 2.0, 2.0)
ATLAS_UM = (10.0, 10.0, 20.0)
MANY = 614454277  # as ids of the Allen atlas can be


@pytest.fixture
def brain(tmp_path):
    """20 x 60 x 120 voxels of 2 um, and an atlas of 4 x 12 x 12 voxels: left half 7, right MANY.

    Left: a line along x at (10, 15). Right: the line goes on, and is crossed at x = 90 by one
    along y from 15 to 59. The first 10 voxels along x (one of the atlas) are no region.
    """
    mask = np.zeros((20, 60, 120), np.uint8)
    mask[10, 15] = 1
    mask[10, 15:, 90] = 1
    labels = np.zeros((4, 12, 12), np.uint32)
    labels[:, :, 1:6], labels[:, :, 6:] = 7, MANY
    write_array(tmp_path, "mask", mask, spacing_um=SPACING, group="g")
    tifffile.imwrite(tmp_path / "atlas.tif", labels, photometric="minisblack")
    (tmp_path / "names.csv").write_text(f"id,acronym,name\n7,L,left\n{MANY},R,right\n")
    return tmp_path


def measured(brain, **options):
    given = {"atlas_um": ATLAS_UM, "names": brain / "names.csv"} | options
    return regions(brain / "mask.ome.zarr", brain / "atlas.tif", brain / "out", **given)


def test_a_brain_of_two_regions(brain):
    table = measured(brain)
    assert table["id"].tolist() == [0, 7, MANY]
    assert table["name"].tolist() == ["outside", "left", "right"]
    plane = 20 * 60 * 8 / 1e9  # mm^3 of one voxel along x
    assert table["volume_mm3"] == pytest.approx([10 * plane, 50 * plane, 60 * plane])
    assert table["vessel_mm3"] * 1e9 / 8 == pytest.approx([10, 50, 60 + 44])
    # Steps of 2 um lie where their middles do: x = 0 to 9 have 9 of them, and that from 9 to 10,
    # whose middle is on the border, is of what begins there. The lines meet in one node.
    lengths = np.array(table["length_mm"]) * 1000
    assert lengths.sum() == pytest.approx(2 * (119 + 44), rel=0.02)
    assert lengths[:2] == pytest.approx([18, 100])
    assert table["branch_points"].tolist() == [0, 0, 1]
    assert table["branch_points_per_mm3"] == pytest.approx([0, 0, 1 / (60 * plane)])
    assert table["length_density_mm_per_mm3"] == pytest.approx(
        np.array(table["length_mm"]) / np.array(table["volume_mm3"])
    )
    assert table["radius_mean_um"] == pytest.approx([2, 2, 2], rel=0.03), "a voxel to background"
    assert table["radius_p50_um"] == pytest.approx([2, 2, 2])
    with (brain / "out/regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["outside", "left", "right"]
    assert float(rows[1]["length_mm"]) == table["length_mm"][1]
    assert (brain / "out/regions.png").stat().st_size > 5000


def test_sums_over_regions_are_those_of_the_graph(brain):
    whole = graph(brain / "mask.ome.zarr", brain / "whole")
    table = measured(brain, graph_folder=brain / "whole")
    assert sum(table["length_mm"]) == pytest.approx(whole["length_mm"], rel=1e-5)
    assert sum(table["branch_points"]) == whole["branch_points"]
    assert sum(table["volume_mm3"]) == pytest.approx(whole["volume_mm3"])
    assert sum(table["vessel_mm3"]) / whole["volume_mm3"] == pytest.approx(whole["vessel_share"])


def test_the_graph_of_another_mask_is_refused(brain):
    other = np.zeros((20, 60, 120), np.uint8)
    other[5, 5] = 1
    write_array(brain, "other", other, spacing_um=SPACING, group="g")
    graph(brain / "other.ome.zarr", brain / "whole")
    with pytest.raises(BadInput, match="graph of another mask"):
        measured(brain, graph_folder=brain / "whole")
    with pytest.raises(BadInput, match="no whole graph"):
        measured(brain, graph_folder=brain / "nothing")


@pytest.mark.parametrize("atlas_um", [(10.0, 10.0, 10.0), (20.0, 10.0, 20.0)])
def test_an_atlas_of_another_extent_is_refused(brain, atlas_um):
    with pytest.raises(BadInput, match=r"but the mask 40 x 120 x 240"):
        measured(brain, atlas_um=atlas_um)


def test_an_atlas_without_voxel_size_or_of_fractions_is_refused(brain):
    with pytest.raises(BadInput, match="--atlas-spacing"):
        measured(brain, atlas_um=None)
    with pytest.raises(BadInput, match="--atlas-spacing .*nan.*: give micrometres above 0"):
        measured(brain, atlas_um=(10.0, float("nan"), 20.0))
    tifffile.imwrite(brain / "atlas.tif", np.ones((4, 12, 12), "f4"), photometric="minisblack")
    with pytest.raises(BadInput, match="whole numbers"):
        measured(brain)


def test_a_folder_with_something_else_is_refused(brain):
    (brain / "out").mkdir()
    (brain / "out" / "thesis.txt").write_text("")
    with pytest.raises(BadInput, match=r"holds thesis\.txt"):
        measured(brain)


def test_a_table_that_cannot_be_written_is_one_line(brain):
    (brain / "out/regions.csv").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"regions\.csv cannot be read or written"):
        measured(brain)


def test_names_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("number,label\n1,a\n")
    (tmp_path / "b.csv").write_text("id,name\none,a\n")
    (tmp_path / "latin.csv").write_text("id,name\n1,noyau caudé\n", "latin-1")
    with pytest.raises(BadInput, match="no columns id and name"):
        read_names(tmp_path / "a.csv")
    with pytest.raises(BadInput, match="an id is a whole number"):
        read_names(tmp_path / "b.csv")
    with pytest.raises(BadInput, match=r"latin\.csv is not UTF-8: save it as such"):
        read_names(tmp_path / "latin.csv")
    with pytest.raises(BadInput, match="cannot be read"):
        read_names(tmp_path / "c.csv")


@pytest.mark.parametrize("atlas_um", [(5.0, 3.0, 2.0), (2.0, 2.0, 2.0), (1.0, 0.7, 2.0)])
def test_cells_and_places_agree_voxel_by_voxel(tmp_path, atlas_um):
    """Coarser, equal and finer atlases: every voxel has the label that its centre lies in."""
    shape = (10, 12, 9)
    atlas_shape = tuple(int(np.ceil(n * 2 / a)) for n, a in zip(shape, atlas_um, strict=True))
    labels = np.random.default_rng(0).integers(0, 2**31, atlas_shape, dtype=np.int64)
    info = write_array(tmp_path, "atlas", labels, spacing_um=atlas_um, group="g")
    atlas = Atlas(info, atlas_um, shape, (2.0, 2.0, 2.0))
    box = (slice(3, 10), slice(0, 7), slice(2, 9))
    cells, starts = atlas.cells(box)
    sizes = [np.diff([*s, b.stop - b.start]) for s, b in zip(starts, box, strict=True)]
    spread = cells
    for axis, size in enumerate(sizes):
        spread = np.repeat(spread, size, axis)
    voxels = np.stack(np.meshgrid(*(range(b.start, b.stop) for b in box), indexing="ij"), -1)
    found = atlas.at(voxels.reshape(-1, 3) * 2.0).reshape(spread.shape)
    by_hand = [
        labels[tuple(int((2 * i + 1) // a) for i, a in zip(voxel, atlas_um, strict=True))]
        for voxel in voxels.reshape(-1, 3).tolist()
    ]
    assert (spread == found).all()
    assert spread.reshape(-1).tolist() == by_hand
