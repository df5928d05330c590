"""Patches that are compared by slabs: of different volumes, from corresponding places."""

import numpy as np
import pytest
import torch

from tests import small
from vpbsd.data.correspondence import corresponding, volumes_in
from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.lattice import Cell, PatchSet
from vpbsd.data.patches import draw_corresponding


@pytest.fixture(scope="module")
def parts(volumes):
    return tuple(whole_volume(v) for v in volumes if v.name in ("v0", "v1", "v2"))


@pytest.fixture(scope="module")
def patches(parts):
    return PatchSet(parts, small.DATA)


def test_others_are_of_other_volumes_and_lie_nearest(patches):
    of = [cell.part for cell in patches.cells]
    middles = np.array([cell.start for cell in patches.cells]) + np.array(small.PATCH) / 2
    shares = middles / np.array([patches.parts[part].shape for part in of])
    for anchor in range(len(patches)):
        chosen = corresponding(patches, anchor, 3, seed=0, step=anchor)
        assert chosen[0] == anchor
        assert sorted(of[i] for i in chosen) == [0, 1, 2]
        for i in chosen[1:]:
            own = [k for k in range(len(patches)) if of[k] == of[i]]
            away = np.abs(shares - shares[anchor]).sum(1)
            assert away[i] == min(away[k] for k in own)


def test_fewer_volumes_give_fewer_patches(patches, parts):
    assert len(corresponding(patches, 0, 2, seed=0, step=0)) == 2
    assert len(corresponding(patches, 0, 9, seed=0, step=0)) == 3
    one = PatchSet(parts[:1], small.DATA)
    assert corresponding(one, 0, 2, seed=0, step=0) == [0]


def test_regions_of_one_volume_are_no_different_volumes(parts):
    (z, y, (a, b)) = parts[0].box
    halves = (Part(parts[0].volume, (z, y, (a, 32))), Part(parts[0].volume, (z, y, (32, b))))
    assert volumes_in(halves) == 1
    assert volumes_in((*halves, parts[1])) == 2
    cells = [Cell(0, (0, 0, 0)), Cell(1, (0, 0, 0)), Cell(2, (0, 0, 0))]
    chosen = corresponding(PatchSet((*halves, parts[1]), small.DATA, cells), 0, 3, seed=0, step=0)
    assert chosen == [0, 2]


def test_all_patches_of_a_step_are_turned_alike(parts):
    """Two volumes that are the same patch: what is drawn is twice the same, turned or not."""
    pool = small.Kept(parts[:1], parts).pool(batch=3)
    twice = PatchSet((parts[0], parts[1]), small.DATA, [Cell(0, (0, 0, 0)), Cell(1, (0, 0, 0))])
    same = twice.image(0)
    twice.image = lambda i: same
    twice.valid = lambda i: np.ones_like(same)
    pool.unlabelled.__dict__["patches"] = twice
    seen = []
    for step in range(8):
        batch = draw_corresponding(pool, step)
        assert torch.equal(batch.image[0], batch.image[1])
        seen.append(batch.image[0, 0])
    assert any(not torch.equal(seen[0], other) for other in seen), "and turned they are"


def test_every_patch_is_the_anchor_once_per_pass(parts):
    pool = small.Kept(parts[:1], parts).pool(batch=1, augment=False)
    patches = pool.unlabelled.patches
    n = len(patches)
    firsts = [draw_corresponding(pool, step).image[0, 0].numpy() for step in range(n)]
    for i in range(n):
        assert sum(np.array_equal(patches.image(i), first) for first in firsts) >= 1
    assert len(draw_corresponding(pool, 0).image) == 2, "two at least, whatever the batch"
    assert pool.steps_per_pass(draw_corresponding) == n
