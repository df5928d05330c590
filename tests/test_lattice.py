"""Every voxel is in some patch, thin volumes are mirrored, and padding counts for nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpbsd.config import Data, Sampling
from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.intensity import normalise
from vpbsd.data.lattice import Cell, PatchSet, cells, cut, padded, sample, starts
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import open_volume

PATCH = (32, 32, 64)
DATA = Data(patch=PATCH)


@pytest.mark.parametrize(
    ("n", "patch", "wanted"),
    [
        (500, 64, [0, 62, 125, 187, 249, 311, 374, 436]),
        (1, 64, [0]),
        (64, 64, [0]),
        (65, 64, [0, 1]),
        (128, 64, [0, 64]),
        (129, 64, [0, 32, 65]),  # the middle of 65 is 32.5, which rounds to the even 32
        (96, 32, [0, 32, 64]),
    ],
)
def test_starts_by_hand(n, patch, wanted):
    assert starts(n, patch) == wanted


@given(n=st.integers(1, 3000), patch=st.sampled_from([32, 64, 96, 128]))
@settings(deadline=None, max_examples=200)
def test_starts_cover_the_axis_with_the_fewest_patches(n, patch):
    found = starts(n, patch)
    assert len(found) == max(1, -(-n // patch))
    assert found[0] == 0
    assert found[-1] == max(0, n - patch)  # the last one ends at the border, none beyond it
    steps = [b - a for a, b in pairwise(found)]
    assert all(0 < step <= patch for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1


def test_cells_are_all_combinations_in_order(volumes):
    parts = [whole_volume(volumes[0]), whole_volume(volumes[1])]  # (32, 64, 64) and (20, 64, 70)
    assert cells(parts, PATCH) == [
        Cell(0, (0, 0, 0)),
        Cell(0, (0, 32, 0)),
        Cell(1, (0, 0, 0)),
        Cell(1, (0, 0, 6)),
        Cell(1, (0, 32, 0)),
        Cell(1, (0, 32, 6)),
    ]


def test_a_cell_lies_within_its_part(volumes):
    part = Part(volumes[1], ((0, 20), (10, 64), (5, 70)))
    assert cut(part, (0, 22, 1), PATCH) == np.s_[0:20, 32:64, 6:70]


def test_padding_mirrors_at_the_far_end_as_often_as_needed():
    block = np.array([1, 2, 3]).reshape(1, 1, 3)
    assert padded(block, (1, 1, 3)) is block
    assert padded(block, (1, 1, 8)).ravel().tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert padded(block, (2, 1, 3)).tolist() == [[[1, 2, 3]], [[1, 2, 3]]]  # one plane repeats


def test_patches_are_what_the_volume_holds(volumes):
    info = volumes[1]  # (20, 64, 70): 12 planes and no column are missing
    patches, opened = PatchSet([whole_volume(info)], DATA), open_volume(info)
    low, high = opened.limits(95.0)
    place = np.s_[0:20, 32:64, 6:70]
    image, label, valid = patches.image(3), patches.label(3), patches.valid(3)
    assert label.shape == (1, *PATCH)
    label = label[0]
    assert image.shape == valid.shape == PATCH
    assert image.dtype == label.dtype == valid.dtype == np.float32
    np.testing.assert_array_equal(image[:20], normalise(opened.image_block(place), low, high))
    np.testing.assert_array_equal(image[20:], image[18:6:-1])
    np.testing.assert_array_equal(label[:20], opened.label_block(place))
    assert label[:20].any()
    assert not label[20:].any()
    assert valid[:20].all()
    assert not valid[20:].any()
    assert 0 <= image.min() < image.max() == 1


def test_a_patch_never_shows_what_is_outside_its_part(tmp_path):
    image = np.zeros((32, 32, 128), np.uint16)
    image[..., :40], image[..., 40:] = np.arange(40) + 1, 60000
    info = write_array(tmp_path, "a", image, spacing_um=None, group="g")
    patches = PatchSet([Part(info, ((0, 32), (0, 32), (0, 40)))], Data(patch=PATCH))
    assert len(patches) == 1
    assert patches.image(0).max() < 0.001
    assert patches.valid(0).sum() == 32 * 32 * 40


def test_what_was_read_is_kept_until_it_is_forgotten(volumes, monkeypatch):
    patches = PatchSet([whole_volume(volumes[0])], DATA)
    first, label = patches.image(0), patches.label(0)
    monkeypatch.setattr("vpbsd.data.volumes.Volume.image_block", None)
    monkeypatch.setattr("vpbsd.data.volumes.Volume.label_block", None)
    np.testing.assert_array_equal(patches.image(0), first)
    np.testing.assert_array_equal(patches.label(0), label)
    patches.forget(0)
    with pytest.raises(TypeError):
        patches.image(0)


@pytest.fixture(scope="module")
def half_empty(tmp_path_factory):
    """Eight cells along x; every other one is background only."""
    image = np.random.default_rng(0).integers(0, 50, (32, 32, 8 * 64)).astype(np.uint16)
    for cell in range(0, 8, 2):
        image[:, :, cell * 64 : cell * 64 + 16] = 1000  # an eighth of all voxels
    folder = tmp_path_factory.mktemp("half")
    return (whole_volume(write_array(folder, "a", image, spacing_um=None, group="g")),)


@pytest.mark.parametrize(
    ("patches", "share", "vessels", "background"),
    [(100, 0.0, 4, 0), (8, 0.25, 4, 2), (100, 0.05, 4, 4), (4, 0.25, 3, 1), (100, 0.01, 4, 1)],
)
def test_few_sampled_cells_show_background_only(half_empty, patches, share, vessels, background):
    found = sample(half_empty, DATA, Sampling(patches=patches, background_share=share)).cells
    full = [cell for cell in found if cell.start[2] % 128 == 0]
    assert len(found) <= patches
    assert len(found) - len(full) <= background
    assert len(full) >= vessels
    assert found == sorted(set(found))
    if patches >= 8:  # nothing else to take
        assert (len(full), len(found) - len(full)) == (vessels, background)


@pytest.mark.parametrize("clip", [90.0, 95.0, 99.9, 100.0])
def test_what_is_background_does_not_depend_on_the_clip_limit(clip, tmp_path):
    """An eighth of every cell is vessel, of widely different brightness."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 50, (32, 32, 4 * 64)).astype(np.uint16)
    for cell in range(4):
        image[:, :, cell * 64 : cell * 64 + 8] = rng.integers(1000, 9000 - cell, (32, 32, 8))
    part = whole_volume(write_array(tmp_path, "a", image, spacing_um=None, group="g"))
    data = Data(patch=PATCH, clip_percentile=clip)
    assert len(sample((part,), data, Sampling(background_share=0.0))) == 4


def test_all_stages_draw_the_same_cells(half_empty):
    sampling = Sampling(patches=4, background_share=0.5)
    assert len({tuple(sample(half_empty, DATA, sampling).cells) for _ in range(4)}) == 1
    assert sample(half_empty, DATA, sampling).cells != sorted(cells(half_empty, PATCH))[:4]


def test_sampled_patches_are_read_once_and_others_are_not_kept(half_empty, monkeypatch):
    read = PatchSet._block
    blocks = []

    def counted(self, i, *, label):
        if (i, label) not in self._kept:
            blocks.append(self.cells[i])
        assert len(self._kept) <= 4, "background is kept"
        return read(self, i, label=label)

    monkeypatch.setattr(PatchSet, "_block", counted)
    drawn = sample(half_empty, DATA, Sampling(patches=100, background_share=0.0))
    images = [drawn.image(i) for i in range(4)]
    assert sorted(blocks) == sorted(cells(half_empty, PATCH))  # each of them once
    monkeypatch.undo()
    again = PatchSet(half_empty, DATA, drawn.cells)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(image, again.image(i))


def test_no_cell_with_vessels_is_an_error_of_the_data(tmp_path):
    image = np.zeros((32, 32, 64), np.uint16)
    part = whole_volume(write_array(tmp_path, "black", image, spacing_um=None, group="g"))
    with pytest.raises(ValueError, match="background only: raise sampling.background_share"):
        sample((part,), DATA, Sampling(patches=4, background_share=0.1))
