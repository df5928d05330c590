"""Targets that were stored once are what the teacher would give now, to the bit."""

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from zarr.storage import ZipStore

from tests import small
from tests.test_augment import EVERY
from tests.toys import Toy
from vpbsd.config import Data
from vpbsd.data.augment import turned
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import PatchesWithTargets, Pool, draw_semi
from vpbsd.methods.distilling_configs import FitNetsConfig, VpbSDConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import build_network
from vpbsd.pipeline.targets import FILE, StoredTargets, compute_targets, write_targets

FIELDS = {
    "labelled": ("codes", "features", "features16", "margin"),
    "unlabelled": ("codes", "pseudo", "features", "margin"),
}
SHAPES = {
    "codes": (32, 1, 2, 2),
    "pseudo": (1, 32, 64, 64),
    "features": (192, 1, 2, 2),
    "features16": (96, 2, 4, 4),
    "margin": (1, 32, 64, 64),
}


class Online:
    """The teacher itself, applied to a plain patch whenever the patch is drawn."""

    def __init__(self, teacher, patches, field):
        self.teacher, self.patches, self.field = teacher, patches, field

    def __getitem__(self, i):
        image = torch.from_numpy(self.patches.image(i))[None, None]
        return compute_targets(self.teacher, image, self.field)[0].float().numpy()


@pytest.fixture(scope="module")
def patches(volumes):
    """Square patches, which are turned by quarters too; two labelled ones, one without label."""
    parts = {"labelled": volumes[1], "unlabelled": volumes[3]}
    return {
        role: PatchSet([whole_volume(v)], Data(patch=(32, 64, 64))) for role, v in parts.items()
    }


@pytest.fixture(scope="module")
def teacher(patches):
    """Its codes are tokens of two patches, its head is undecided: its targets vary."""
    network = build_network(small.NETWORK, 0).eval()
    x = torch.from_numpy(patches["labelled"].image(0))[None, None]
    with torch.no_grad():
        network.net.out.conv.conv.bias.copy_(torch.tensor([0.1, 0.0]))
        quantiser, other = network.quantiser, patches["unlabelled"].image(0)
        both = [x, torch.from_numpy(other)[None, None]]
        quantiser.codebook.settle(torch.cat([quantiser.dn(network.encode(y)[-1]) for y in both]))
        halves = [quantiser.align(network.encode(y)[-1])[: small.CODES // 2] for y in both]
        quantiser.codebook.vectors.copy_(torch.cat(halves))
    return network


@pytest.fixture(scope="module")
def stored(teacher, patches, tmp_path_factory):
    """Role -> field -> the targets, written and read."""
    kept = {role: {} for role in patches}
    for role, of in patches.items():
        for field in FIELDS[role]:
            online, folder = Online(teacher, of, field), tmp_path_factory.mktemp("targets")
            write_targets(folder, field, [online[i] for i in range(len(of))])
            kept[role][field] = StoredTargets(folder, field)
    return kept


def pool_of(patches, targets):
    both = {role: PatchesWithTargets(patches[role], targets[role]) for role in patches}
    return Pool(both["labelled"], both["unlabelled"], batch=2, seed=0, augment=True)


@pytest.fixture(scope="module")
def batches(teacher, patches, stored):
    online = {
        role: {field: Online(teacher, of, field) for field in FIELDS[role]}
        for role, of in patches.items()
    }
    return [draw_semi(pool_of(patches, targets), 0) for targets in (stored, online)]


def test_stored_and_online_batches_are_the_same_to_the_bit(batches):
    for part, again, fields in zip(*batches, FIELDS.values(), strict=True):
        assert torch.equal(part.image, again.image)
        for field in fields:
            targets = getattr(part.targets, field)
            assert torch.equal(targets, getattr(again.targets, field))
            assert targets.shape == (2, *SHAPES[field])
            assert targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("config", "terms"),
    [
        (VpbSDConfig(), {"sup", "semi", "dis"}),
        (FitNetsConfig(teacher_width=192, beta=1, distil_on="both"), {"sup", "semi", "mid"}),
    ],
)
def test_stored_and_online_losses_are_the_same_to_the_bit(config, terms, batches):
    method = build_method(config, 0)
    stored, online = (method.losses(batch, Clock(3, 2, 4)) for batch in batches)
    assert stored.keys() == online.keys() == terms
    assert all(torch.equal(stored[name], online[name]) for name in terms)


def test_the_turn_comes_after_the_teacher(batches, patches, stored):
    """For every patch of a batch: find its turn by eye, and turn the target of the plain patch."""
    turns = 0
    for role, fields in FIELDS.items():
        part = getattr(batches[1], role)
        for row, image in enumerate(part.image):
            i, turn = _turn_of(image, patches[role])
            turns += turned(torch.arange(8).view(2, 2, 2), turn).flatten().tolist() != list(
                range(8)
            )
            for field in fields:
                plain = torch.from_numpy(stored[role][field][i])
                assert torch.equal(getattr(part.targets, field)[row], turned(plain, turn))
    assert turns >= 3


def _turn_of(image, patches):
    for i in range(len(patches)):
        for turn in EVERY:
            if torch.equal(turned(torch.from_numpy(patches.image(i))[None], turn), image):
                return i, turn
    raise AssertionError("no turn of a patch")


def test_targets_of_every_field(teacher, patches):
    """Codes are rows of the codebook, the nearest ones; the mask is that of the argmax."""
    x = torch.from_numpy(patches["unlabelled"].image(0))[None, None]
    state = compute_targets(teacher, x, "features")
    assert torch.equal(state, teacher.encode(x)[-1])
    codes, book = compute_targets(teacher, x, "codes"), teacher.quantiser.codebook
    tokens = book.tokens(teacher.quantiser.dn(state))
    distances = ((tokens[:, None] - book.vectors) ** 2).sum(-1)
    rows = codes[0].movedim(0, -1).reshape(-1, 32)
    assert torch.equal(rows, book.vectors[distances.argmin(1)])
    assert len(distances.argmin(1).unique()) > 1, "a teacher with one code shows no order"
    with torch.no_grad():
        vessel = teacher(x).logits.diff(dim=1)
    pseudo, clear = (
        compute_targets(teacher, x, "pseudo"),
        vessel.abs() > 1e-6,
    )  # nearer, softmax rounds to .5
    assert torch.equal(pseudo[clear], (vessel > 0)[clear].float())
    assert clear.float().mean() > 0.999
    assert 0 < pseudo.mean() < 1
    assert torch.equal(compute_targets(teacher, x, "features16"), teacher.encode(x)[-2])
    margin = compute_targets(teacher, x, "margin")
    assert margin.dtype == torch.float16
    torch.testing.assert_close(margin.float(), vessel, rtol=2**-11, atol=1e-7)


def test_a_margin_is_as_exact_as_its_probability_needs(tmp_path):
    """Kept in two bytes: no probability moves by more than 1.1e-4, none becomes infinite."""
    true = torch.linspace(-60, 60, 100_001)[None, None, None, None]
    targets = compute_targets(Toy(lambda x: x), true, "margin")
    write_targets(tmp_path, "margin", [targets[0].numpy()])
    with ZipStore(tmp_path / FILE, mode="r") as store:
        assert zarr.open_array(store, path="margin", mode="r").dtype == np.float16
    kept = torch.from_numpy(StoredTargets(tmp_path, "margin")[0])
    assert (kept.min(), kept.max()) == (-30, 30)
    assert (kept.sigmoid() - true[0].sigmoid()).abs().max() < 1.1e-4


@given(
    shape=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=15)
def test_bits_come_back(tmp_path_factory, shape, count, seed):
    masks = np.random.default_rng(seed).integers(0, 2, (count, *shape)).astype(np.float32)
    folder = tmp_path_factory.mktemp("bits")
    write_targets(folder, "pseudo", list(masks))
    read = StoredTargets(folder, "pseudo")
    assert len(read) == count
    for i in range(count):
        assert read[i].dtype == np.float32
        np.testing.assert_array_equal(read[i], masks[i])


@pytest.mark.parametrize("field", ["codes", "features", "features16"])
def test_numbers_come_back(field, tmp_path):
    values = np.random.default_rng(0).standard_normal((130, 3, 1, 2, 2)).astype(np.float32)
    write_targets(tmp_path, field, list(values))
    read = StoredTargets(tmp_path, field)
    assert len(read) == 130
    np.testing.assert_array_equal(np.stack([read[i] for i in range(130)]), values)
    assert read[0].dtype == np.float32


def test_masks_take_an_eighth_of_a_byte_per_voxel(tmp_path):
    noise = np.random.default_rng(0).integers(0, 2, (4, 1, 32, 32, 32)).astype(np.float32)
    write_targets(tmp_path, "pseudo", list(noise))
    assert (tmp_path / FILE).stat().st_size < noise.size / 8 + 4096


def test_codes_come_from_a_codebook_only():
    plain = nn.Identity()
    plain.encode = lambda x: (x, x)
    plain.quantiser = None
    with pytest.raises(AssertionError, match="a teacher with a codebook"):
        compute_targets(plain, torch.zeros(1, 1, 2, 2, 2), "codes")
