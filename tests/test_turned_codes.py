"""Codes of every turn: a student that sees a turned patch learns what the teacher sees in it."""

import numpy as np
import pytest
import torch

from tests import small
from tests.test_augment import EVERY, coordinates
from vpbsd.config import Data
from vpbsd.data.augment import turned
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import PatchesWithTargets, Pool, draw_labelled
from vpbsd.data.turns import FLIPS, STILL, TURNS, turns_of
from vpbsd.networks.build import build_network
from vpbsd.pipeline.targets import (
    StoredTurnedCodes,
    are_turned,
    compute_targets,
    turned_codes,
    write_turned_codes,
)

SQUARE = (32, 64, 64)


@pytest.mark.parametrize("turn", EVERY)
def test_the_canonical_turn_is_the_same_movement(turn):
    x = coordinates((2, 3, 3))
    assert torch.equal(turned(x, turn), turned(x, turn.canonical))
    assert turn.canonical in TURNS


def test_sixteen_turns_of_a_square_and_eight_of_others():
    assert turns_of(SQUARE) == TURNS
    assert len({tuple(turned(coordinates((2, 3, 3)), t).flatten().tolist()) for t in TURNS}) == 16
    assert turns_of((32, 32, 64)) == FLIPS
    assert TURNS[0] == STILL


@pytest.fixture(scope="module")
def teacher():
    """Some 200 code words lie along its tokens, so that other tokens have other codes."""
    config = small.NETWORK.model_copy(
        update={"codebook": small.NETWORK.codebook.model_copy(update={"size": 200})}
    )
    network = build_network(config, 0).eval()
    with torch.no_grad():
        network.quantiser.codebook.vectors.mul_(0.2)
    return network


@pytest.fixture(scope="module")
def stored(teacher, volumes, tmp_path_factory):
    patches = PatchSet([whole_volume(volumes[1])], Data(patch=SQUARE))
    folder = tmp_path_factory.mktemp("codes")
    images = [torch.from_numpy(patches.image(i))[None, None] for i in range(len(patches))]
    words = teacher.quantiser.codebook.vectors.detach().numpy()
    write_turned_codes(folder, [turned_codes(teacher, x).numpy() for x in images], words)
    assert are_turned(folder)
    return patches, StoredTurnedCodes(folder, turns_of(SQUARE))


@pytest.mark.parametrize("turn", EVERY[::5])
def test_stored_codes_are_those_of_the_turned_patch(teacher, stored, turn):
    patches, codes = stored
    image = turned(torch.from_numpy(patches.image(0))[None, None], turn)
    online = compute_targets(teacher, image, "codes")[0].numpy()
    assert np.array_equal(codes.seen(0, turn), online)


def test_a_turned_code_map_is_another_than_that_of_the_turned_patch(stored):
    """Else there would be no need for any of this: Swin is not equivariant."""
    _, codes = stored
    still = torch.from_numpy(codes.seen(0, STILL))
    assert any(
        not np.array_equal(turned(still, turn).numpy(), codes.seen(0, turn)) for turn in TURNS
    )


def test_a_batch_holds_the_codes_of_its_turned_images(teacher, stored):
    patches, codes = stored
    pool = Pool(PatchesWithTargets(patches, {}, {"codes": codes}), None, 4, seed=3, augment=True)
    batch = draw_labelled(pool, 0)
    for image, target in zip(batch.image, batch.targets.codes, strict=True):
        assert torch.equal(compute_targets(teacher, image[None], "codes")[0], target)
