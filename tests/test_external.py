"""Masks of another tool: scored by hand-counted voxels, under a key of their content."""

import json

import numpy as np
import pytest

from tests.intake.files import npz
from vpbsd.data.folds import make_folds
from vpbsd.data.intake.external import import_masks
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import list_volumes
from vpbsd.pipeline.recipes import external
from vpbsd.pipeline.run import run
from vpbsd.pipeline.stages import StageSpec

SHAPE = (4, 64, 40)


@pytest.fixture
def scored(tmp_path, tiny):
    """Three animals whose labels are 20 voxels in a row; a tool marks `hits` and `false` more."""
    rng = np.random.default_rng(0)
    given = tmp_path / "given"
    given.mkdir()
    for n, (hits, false) in enumerate([(20, 0), (10, 10), (15, 5)]):
        label, mask = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
        label[1, 10, :20] = 1
        mask[1, 10, :hits], mask[2, 40, :false] = 1, 1
        image = rng.integers(0, 1000, SHAPE).astype(np.uint16)
        about = {"spacing_um": (2.0, 1.0, 1.0), "group": f"animal{n}"}
        write_array(tmp_path / "data", f"v{n}", image, label, **about)
        npz(given / f"v{n}.npz", image=mask, spacing_zyx_um=np.array([2.0, 1.0, 1.0]))
    volumes = list_volumes(tmp_path / "data")

    def stages():
        masks = import_masks("tool", given, volumes, [v.name for v in volumes])
        by_volume = {mask.name: mask for mask in masks}
        folds = make_folds(volumes, tiny.protocol)
        return [external(tiny, "external:tool", fold, by_volume) for fold in folds]

    return stages, given


def test_masks_are_scored_by_hand_counted_voxels(scored, tmp_path):
    """DSC 2 x 20 / 40, 2 x 10 / 40, 2 x 15 / 40; what is false lies far from the label."""
    stages, _ = scored
    found = {}
    for stage in stages():
        out = tmp_path / stage.key
        out.mkdir()
        spec = StageSpec.read(json.dumps(stage.describe()))
        assert spec.key == stage.key, "another process runs the same stage"
        assert list(run(spec, {}, out))[-1].share == 1
        (row,) = json.loads((out / "rows.json").read_text())
        found[row["volume"]] = row
        assert (out / f"overlay_0_{row['volume']}.png").exists()
    assert [found[f"v{n}"]["dsc"] for n in range(3)] == pytest.approx([1.0, 0.5, 0.75])
    assert found["v1"]["accuracy"] == pytest.approx(1 - 20 / np.prod(SHAPE))
    assert found["v1"]["hd95_um"] > found["v1"]["hd95_vox"] > 10
    assert {row["group"] for row in found.values()} == {"animal0", "animal1", "animal2"}


def test_the_key_is_that_of_the_masks_voxels(scored):
    """The same voxels in another file are the same stage; one voxel more is another."""
    stages, given = scored
    before = [stage.key for stage in stages()]
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 10, :20] = 255
    (given / "v0.npz").unlink()
    npz(given / "v0_mask.npz", image=mask, spacing_zyx_um=np.array([2.0, 1.0, 1.0]))
    assert [stage.key for stage in stages()] == before
    mask[3, 3, 3] = 255
    npz(given / "v0_mask.npz", image=mask, spacing_zyx_um=np.array([2.0, 1.0, 1.0]))
    assert sum(a != b for a, b in zip(before, [s.key for s in stages()], strict=True)) == 1
