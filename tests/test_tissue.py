"""What surrounds tissue changes nothing of what is seen in it; what is no tissue has none."""

import numpy as np
import pytest

from vpbsd.config import Data
from vpbsd.data.intensity import Histogram
from vpbsd.data.normalisation import scale
from vpbsd.data.phantom import phantom
from vpbsd.data.sight import Sight
from vpbsd.data.tissue import Cells, find_tissue, measure_cells, measure_volume
from vpbsd.data.tissue_scale import largest_mass, masses, without_dead
from vpbsd.data.volumes import Volume

RNG = np.random.default_rng(0)
SHAPE = (48, 64, 80)
DATA = Data(patch=(32, 64, 64))


class Array:
    def __init__(self, voxels):
        self.voxels, self.shape = voxels, voxels.shape
        values, counts = np.unique(voxels, return_counts=True)
        self.intensity = Histogram(values.astype(np.int64), counts)

    def image_block(self, box):
        return self.voxels[box]


def tissue_of(voxels):
    image = Array(voxels)
    cells = measure_volume(image.image_block, image.shape)
    return image, find_tissue(cells, masses(image.intensity))


def everything(shape):
    return tuple(slice(0, n) for n in shape)


def noise(mean, sd, shape=SHAPE):
    return RNG.normal(mean, sd, shape).round().astype(np.uint16)


def specks():
    dirty = noise(100, 5)
    dirty[10, 10, 10], dirty[30, 40:42, 50], dirty[40, 3, 3] = 65535, 65535, 0
    return dirty


def slope(step, noisy=False):
    plane = (np.arange(SHAPE[2]) * step + 50.0) * np.ones(SHAPE)
    return RNG.poisson(plane).astype(np.uint16) if noisy else plane.astype(np.uint16)


NOTHING = {
    "zeros": lambda: np.zeros(SHAPE, np.uint16),
    "constant": lambda: np.full(SHAPE, 700, np.uint16),
    "camera noise": lambda: noise(100, 5),
    "noise with specks and a dead voxel": specks,
    "photons": lambda: RNG.poisson(3, SHAPE).astype(np.uint8),
    "noise in floats": lambda: RNG.normal(0.5, 1e-3, SHAPE).astype(np.float32),
    "gentle slope": lambda: slope(0.05),
    "slope": lambda: slope(7.7),
    "noisy slope": lambda: slope(5, noisy=True),
    "diagonal slope": lambda: (np.indices(SHAPE).sum(0) * 1.3).astype(np.uint16),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_what_shows_nothing_is_no_tissue(kind):
    assert not tissue_of(NOTHING[kind]())[1].cells.any()


def test_volumes_of_tissue_are_all_tissue_and_normalised_as_ever(volumes):
    for info in volumes:
        volume = Volume(info)
        tissue = find_tissue(Cells(*volume.cells[:]), masses(volume.intensity))
        assert tissue.whole
        box = everything(info.shape)
        seen = Sight(volume, tissue, DATA, info.name).read(box)
        np.testing.assert_array_equal(seen, volume.scale(DATA)(volume.image_block(box)))


def test_cells_kept_at_import_are_those_of_the_volume(volumes):
    for info in volumes:
        volume = Volume(info)
        found = measure_volume(volume.image_block, info.shape)
        np.testing.assert_array_equal(volume.cells[:], np.stack(found))


def test_a_cell_by_hand():
    """Boxes of 4 planes at 0 and 12 in turn, in one direction; no noise: the floor of 4 holds."""
    block = np.repeat(np.array([0, 12, 0, 12], np.uint16), 4)[:, None, None] * np.ones(
        (1, 16, 16), np.uint16
    )
    lowest, highest, mean, structure = measure_cells(block)
    assert (lowest.item(), highest.item(), mean.item()) == (0, 12, 6)
    # second differences 24 along z only, of variance 24^2 / 6, a third of it over the axes
    assert structure.item() == pytest.approx(64 * (24**2 / 6 / 3) / 4)


SURROUNDINGS = {
    "zeros": lambda shape: np.zeros(shape, np.uint16),
    "camera noise": lambda shape: noise(100, 5, shape),
    "saturated": lambda shape: np.full(shape, 65535, np.uint16),
}


@pytest.mark.parametrize("margin", [9, 40])
@pytest.mark.parametrize("kind", SURROUNDINGS)
def test_tissue_looks_alike_in_any_surroundings(kind, margin):
    tissue_alone, _ = phantom(3, (40, 64, 64))
    wanted = scale(DATA, Array(tissue_alone).intensity, "alone")(tissue_alone)
    voxels = SURROUNDINGS[kind](tuple(n + 2 * margin for n in tissue_alone.shape))
    inside = tuple(slice(margin, margin + n) for n in tissue_alone.shape)
    voxels[inside] = tissue_alone
    image, tissue = tissue_of(voxels)
    sight = Sight(image, tissue, DATA, "v")
    box = everything(voxels.shape)
    seen, background = sight.read(box), sight.background(box)
    real = np.zeros(voxels.shape, bool)
    real[inside] = True
    assert (background & real).sum() < 1e-3 * real.sum()
    assert (~background & ~real).sum() < 2e-3 * real.sum()
    assert np.abs(seen[inside] - wanted)[~background[inside]].max() < 0.01
    beyond = np.pad(wanted, 8, mode="reflect")  # behind the edge lies its mirror image
    around = tuple(slice(margin - 8, margin + 8 + n) for n in tissue_alone.shape)
    face = np.s_[:8, 8:-8, 8:-8]
    assert np.mean(np.abs(seen[around][face] - beyond[face]) < 0.01) > 0.9
    if margin > 30:
        assert seen[0, 0, 0] == pytest.approx(sight.level)


def test_what_is_seen_does_not_depend_on_the_box():
    voxels = noise(100, 5, (60, 90, 90))
    voxels[10:50, 13:77, 13:77] = phantom(3, (40, 64, 64))[0]
    image, tissue = tissue_of(voxels)
    sight = Sight(image, tissue, DATA, "v")
    whole, box = sight.read(everything(voxels.shape)), np.s_[3:40, 20:85, 0:31]
    np.testing.assert_array_equal(sight.read(box), whole[box])


def test_dead_voxels_and_bright_specks_change_nothing():
    voxels, _ = phantom(4, (40, 64, 64))
    voxels = voxels + 500  # a camera's offset: nothing is at 0
    alone = Sight(*tissue_of(voxels), DATA, "v").read(everything(voxels.shape))
    dirty = voxels.copy()
    dirty[5, 5, 5], dirty[20, 30, 30] = 0, 65535
    seen = Sight(*tissue_of(dirty), DATA, "v").read(everything(voxels.shape))
    same = dirty == voxels
    np.testing.assert_allclose(seen[same], alone[same], atol=1e-3)


def test_dead_voxels_by_hand():
    dark = Histogram(np.array([0, 90, 100, 110]), np.array([3, 30, 50, 17]))
    assert without_dead(dark).values.tolist() == [90, 100, 110]
    near = Histogram(np.array([89, 90, 100, 110]), np.array([3, 30, 50, 17]))
    assert without_dead(near).values.tolist() == near.values.tolist()
    many = Histogram(np.array([0, 90, 100, 110]), np.array([4, 30, 50, 16]))
    assert without_dead(many).values.tolist() == many.values.tolist()


def test_masses_by_hand():
    spread = Histogram(np.arange(100, 200), np.full(100, 10))
    assert masses(spread) == []
    assert largest_mass(spread) == 0
    zeros = Histogram(np.array([0, *range(100, 200)]), np.array([1000, *[10] * 100]))
    assert masses(zeros) == [(0, 0)]
    assert largest_mass(zeros) == 0.5
    assert masses(zeros, usual=0.5) == [], "training volumes had as many"
    bright = Histogram(np.array([*range(100, 200), 4095]), np.array([*[10] * 100, 500]))
    assert masses(bright) == [(4095, 4095)]


def test_real_numbers_are_never_taken_for_counts():
    """Two values of many are no mass of saturated voxels where values were not counted."""
    half = np.array([0.0, 0.4, 0.5, 1.0])
    stored = Histogram(half, np.array([10, 40, 40, 10]))
    assert masses(stored) == []
    assert masses(Histogram((half * 10).astype(np.int64), stored.counts)) == [(10.0, 10.0)]
