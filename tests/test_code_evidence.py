"""What code words carry, on teachers whose use of them is known."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.test_codebook_health import BRIGHT, CLIPPED, DARK, Brightness
from vpbsd.config import Data
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import list_volumes
from vpbsd.evaluation import code_evidence
from vpbsd.evaluation.code_evidence import (
    examine_mask,
    examine_meaning,
    examine_reconstruction,
    overlapping,
    read_tokens,
)
from vpbsd.networks.output import SegOutput


class Segments(Brightness):
    """Marks all of a token's cell where its code is the bright one, or what the image shows."""

    decode_codes = True

    def __init__(self, reads=True, cell=32, **more):
        super().__init__([DARK, BRIGHT], **more)
        self.reads, self.cell, self.nothing = reads, cell, nn.Parameter(torch.zeros(1))

    def encode(self, x):
        mean = 4 * (nn.functional.avg_pool3d(x, self.cell) - 0.5)
        return (torch.cat([mean, -mean], 1),)

    def decode(self, x, hidden, codes=None):
        seen = x - 0.5
        if self.reads and codes is not None:
            seen = nn.functional.interpolate(codes[:, :1], size=x.shape[2:])
        return SegOutput(torch.cat([-seen, seen], 1), hidden)


def patch_set(folder, image, label, patch=(32, 32, 64)):
    image[0, 0, :4], image[-1, -1, -4:] = 0, 400  # these set the scale
    metadata = VolumeMetadata(image.shape, "uint16", (1.0, 1.0, 1.0), "g")
    write_volume(folder, "a", [image], metadata, [label])
    (volume,) = list_volumes(folder)
    return PatchSet([whole_volume(volume)], Data(patch=patch, clip_percentile=CLIPPED))


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """Four patches of two tokens: dark, bright, dark, bright; half of what is bright is vessel."""
    image = np.full((32, 32, 4 * 64), 100, np.uint16)
    image[:, :, 64:128] = image[:, :, 192:] = 300
    label = (image == 300).astype(np.uint8)
    label[16:] = 0
    return patch_set(tmp_path_factory.mktemp("cells"), image, label)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch):
    monkeypatch.setattr(code_evidence, "permutation", lambda seed, purpose, epoch, n: np.arange(n))


def test_masks_that_follow_codes_follow_those_of_others(patches):
    """One patch on all bright ones are dark, two patches on all is as it was, then as with one."""
    found = examine_mask(Segments(), patches)
    assert found.numbers["swapped_dice"] == pytest.approx(1 / 3, abs=1e-3)
    assert found.numbers["training_dsc"] == pytest.approx(2 / 3, abs=1e-3), "half of it is vessel"
    picture = found.pictures["swapped_codes"]
    assert picture.dtype == np.uint8
    assert picture.std() > 1


@pytest.mark.parametrize("teacher", [Segments(reads=False), Segments()], ids=["image", "no codes"])
def test_masks_that_ignore_codes_stay_as_they_are(teacher, patches):
    """The decoder looks at the image alone, or it is never given codes."""
    teacher.decode_codes = not teacher.reads
    assert examine_mask(teacher, patches).numbers["swapped_dice"] == 1


def test_of_one_patch_no_codes_can_be_swapped(tmp_path):
    image = np.full((32, 32, 64), 300, np.uint16)
    patches = patch_set(tmp_path, image, np.ones_like(image, np.uint8))
    found = examine_mask(Segments(), patches)
    assert found.numbers.keys() == {"training_dsc"}
    assert not found.pictures
    found = examine_meaning(Segments(), patches)
    assert found.numbers["r2_vessel_share"] == 0, "tokens are left out, not the only patch"


def test_codes_of_cells_that_differ_in_vessels_tell_them(patches):
    """Two tokens in the other patch of its kind: missed by a third of the way from the mean."""
    found = examine_meaning(Segments(), patches)
    wanted = {"r2_vessel_share": 8 / 9, "r2_brightness": 8 / 9}
    assert found.numbers == pytest.approx(wanted, abs=1e-3)
    assert found.pictures["code_vessel_share"].std() > 1
    tokens = read_tokens(Segments(), patches)
    assert tokens.codes.tolist() == [0, 0, 1, 1] * 2
    assert tokens.patches.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert tokens.vessel.tolist() == [0, 0, 0.5, 0.5] * 2
    assert tokens.brightness == pytest.approx([0.25, 0.25, 0.75, 0.75] * 2, abs=1e-3)


def test_the_cell_of_a_token_is_that_of_its_grid(patches):
    """At 1/16 of the resolution a bright patch has eight cells above all vessel, eight of none."""
    tokens = read_tokens(Segments(cell=16), patches)
    assert len(tokens.codes) == 4 * 2 * 2 * 4
    assert tokens.vessel[16:32].tolist() == [1.0] * 8 + [0.0] * 8


@pytest.mark.parametrize(("depth", "tokens"), [(16, 2), (7, 0)])
def test_shares_are_those_of_real_voxels(depth, tokens, tmp_path):
    """A thin volume is padded to 32 planes: its cells are half real, or too little so."""
    image = np.full((depth, 32, 64), 300, np.uint16)
    patches = patch_set(tmp_path, image, np.ones_like(image, np.uint8))
    assert read_tokens(Segments(), patches).vessel.tolist() == [1.0] * tokens
    assert bool(examine_meaning(Segments(), patches).numbers) == bool(tokens)


def test_codes_that_know_no_more_than_brightness_rebuild_no_better_than_means(tmp_path):
    """Levels 100 and 300 side by side in each cell, .25 and .75: the mean .5 misses by .25."""
    image = np.full((32, 32, 128), 100, np.uint16)
    image[:, 16:] = 300
    patches = patch_set(tmp_path, image, np.zeros_like(image, np.uint8))
    flat = examine_reconstruction(Segments(uses_codes=False), patches, 1)
    assert flat == pytest.approx({"mse_codes": 0.0625, "mse_cell_mean": 0.0625}, abs=1e-3)
    assert flat["mse_codes"] >= flat["mse_cell_mean"], "the mean is the best constant"
    knowing = Segments()
    knowing.reconstruct = lambda x, hidden, codes, keep, scale: nn.functional.avg_pool3d(x, scale)
    for scale in (1, 2):
        found = examine_reconstruction(knowing, patches, scale)
        assert found["mse_codes"] == 0
        assert found["mse_cell_mean"] == pytest.approx(0.0625, abs=1e-3)


def test_patches_of_one_volume_overlap_where_they_share_voxels(tmp_path):
    """40 planes and 100 columns in patches of 32 x 32 x 64: two starts each, 8 and 36 apart."""
    image = np.full((40, 32, 100), 100, np.uint16)
    patches = patch_set(tmp_path, image, np.zeros_like(image, np.uint8))
    assert [cell.start for cell in patches.cells] == [
        *((0, 0, 0), (0, 0, 36)),
        *((8, 0, 0), (8, 0, 36)),
    ]
    assert overlapping(patches, [0, 1, 2, 3]).all()
    both = PatchSet(patches.parts * 2, patches.data)
    assert not overlapping(both, [0, 4])[0, 1], "another part"


def test_patches_apart_in_one_volume_do_not_overlap(tmp_path):
    """150 columns: starts at 0, 43 and 86, of which the outer two are 22 apart."""
    image = np.full((32, 32, 150), 100, np.uint16)
    patches = patch_set(tmp_path, image, np.zeros_like(image, np.uint8))
    assert [cell.start[2] for cell in patches.cells] == [0, 43, 86]
    expected = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]]) > 0
    assert (overlapping(patches, [0, 2, 1]) == expected).all()
