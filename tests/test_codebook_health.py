"""Which codebooks count: cases whose numbers can be worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import Toy
from vpbsd.config import Data
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import Cell, PatchSet
from vpbsd.data.volume_writer import write_array
from vpbsd.errors import BadInput
from vpbsd.evaluation import codebook_health as examine
from vpbsd.evaluation.codebook_health import code_drift, examine_codebook, start_codebook, verdict
from vpbsd.evaluation.exemplars import Exemplars
from vpbsd.networks.alignment import ChannelScatter, ChannelSelection
from vpbsd.networks.codebook import Codebook, Quantised
from vpbsd.networks.quantiser import PatternQuantiser

LEVELS = (0, 100, 200, 300)
CLIPPED = 100.0
HERE = Cell(0, (0, 0, 0))


@pytest.mark.parametrize(
    ("perplexity", "gap", "shuffled", "size", "says"),
    [
        (30.0, 0.5, 1.0, 128, None),
        (
            12.7,
            0.5,
            1.0,
            128,
            "codebook collapsed: argmin perplexity 12.7 of 128 codes, at least 12.8",
        ),
        (12.8, 0.1, 1.0, 128, None),
        (1.9, 0.5, 1.0, 4, "codebook collapsed: argmin perplexity 1.9 of 4 codes, at least 2.0"),
        (2.0, 0.5, 1.0, 4, None),
        (
            30.0,
            0.09,
            1.0,
            128,
            "codebook bypassed: shuffled codes raise the error by 0.0900, at least",
        ),
        (30.0, -0.01, 1.0, 128, "codebook bypassed"),
        (1.0, 0.0, 1.0, 128, "codebook collapsed"),
    ],
)
def test_verdicts_by_hand(perplexity, gap, shuffled, size, says):
    numbers = {"perplexity": perplexity, "bypass_gap": gap, "mse_shuffled_codes": shuffled}
    found = verdict(numbers, size)
    assert found is None if says is None else found.startswith(says)


class Brightness(nn.Module):
    """A teacher whose token is the mean of its 32^3 voxels, as a place on a line in the plane.

    Dark ones (0.25) are at (-1, 1), bright ones (0.75) at (1, -1), up to what sets the scale.
    With skips it rebuilds the image; without, each token's square from its code.
    """

    cell = 32

    def __init__(self, codes, uses_codes=True):
        super().__init__()
        codebook = Codebook(len(codes), 2)
        with torch.no_grad():
            codebook.vectors.copy_(torch.tensor(codes))
        self.quantiser = PatternQuantiser(nn.Identity(), nn.Identity(), codebook)
        self.uses_codes = uses_codes

    def encode(self, x):
        mean = 4 * (nn.functional.avg_pool3d(x, 32) - 0.5)
        return (torch.cat([mean, -mean], 1),)

    def coded_state(self, hidden):
        return hidden[-1]

    def reconstruct(self, x, hidden, codes, keep, scale=1):
        level = 0.5 + 0.25 * codes[:, :1] if self.uses_codes else 0.5 + 0 * codes[:, :1]
        coarse = nn.functional.interpolate(level, scale_factor=32 // scale)
        seen = nn.functional.avg_pool3d(x, scale)
        return torch.where(keep[:, :1, None, None, None] > 0, seen, coarse)


DARK, BRIGHT, FAR = [-1.0, 1.0], [1.0, -1.0], [9.0, 9.0]


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """Four patches of two tokens, all dark, all bright, all dark, all bright: 0.25 or 0.75."""
    folder = tmp_path_factory.mktemp("levels")
    image = np.zeros((32, 32, 4 * 64), np.uint16)
    for cell in range(4):
        image[:, :, cell * 64 : cell * 64 + 64] = 300 if cell % 2 else 100
    image[0, 0, :4], image[-1, -1, :4] = 0, 400  # these set the scale
    part = whole_volume(write_array(folder, "a", image, spacing_um=None, group="g"))
    return PatchSet([part], Data(patch=(32, 32, 64), clip_percentile=CLIPPED))


def test_a_codebook_in_use(patches, monkeypatch):
    """Two of four codes serve all tokens evenly; codes of the other kind miss by 0.5."""
    monkeypatch.setattr(examine, "permutation", lambda *_: np.arange(4))  # neighbours differ
    found = examine_codebook(Brightness([DARK, BRIGHT, FAR, FAR]), patches)
    wanted = {
        "perplexity": 2.0,
        "code_usage": 0.5,
        "quant_mse": 0.0,
        "mse_codes": 0.0,
        "mse_shuffled_codes": 0.25,
        "bypass_gap": 0.25,
        "tokens_examined": 64.0,  # 4 patches in 8 turns are all there is of 4 * 50
    }
    assert found.numbers == pytest.approx(wanted, abs=1e-3)
    assert found.void is None
    assert set(found.pictures) == {"code_usage", "code_patches", "reconstructions"}
    for picture in found.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert picture.std() > 1


def test_the_pieces_nearest_to_a_code_are_kept_nearest_first(patches):
    """Codes off the tokens by a little, so that none has distance 0; at most four pieces each."""
    teacher = Brightness([DARK, BRIGHT, FAR, FAR]).eval()
    seen = Exemplars()
    for i, (x, share) in enumerate(examine._images(patches, [0, 1, 2, 3], teacher)):
        record = teacher.quantiser(teacher.encode(x)[-1])[1]
        seen.add(x, share, record, patches.cells[i])
    assert {code: len(kept) for code, kept in seen.of_code.items()} == {0: 4, 1: 4}
    for code, level in ((0, 0.25), (1, 0.75)):
        distances = [e.distance for e in seen.of_code[code]]
        assert distances == sorted(distances)
        for e in seen.of_code[code]:
            assert e.projection.shape == (32, 32)
            assert np.median(e.projection) == pytest.approx(level, abs=0.01)


def test_a_finer_cell_is_shown_in_the_middle_of_what_surrounds_it():
    """Cells of 8 voxels: the one at (1, 2, 3) of the grid holds the one bright voxel."""
    x = torch.zeros(1, 1, 16, 32, 64)
    x[0, 0, 8 + 5, 16 + 1, 24 + 2] = 1
    tokens = torch.arange(2 * 4 * 8)[:, None].float()
    cell = (1 * 4 + 2) * 8 + 3
    record = Quantised(tokens, tokens, tokens, torch.arange(64), torch.arange(64), tokens, tokens)
    found = Exemplars(8)
    found.add(x, torch.ones(64), record, HERE)
    (shown,) = found.of_code[cell]
    assert shown.projection.shape == (32, 32)
    assert np.argwhere(shown.projection == 1).tolist() == [[12 + 1, 12 + 2]]
    (other,) = found.of_code[cell - 4 * 8]
    assert not other.projection.any(), "the same place one cell higher along z"


def test_only_the_nearest_pieces_are_kept_and_padding_is_none():
    """Tokens 5, 1, 4, 2, 3, 0.5 from their code; the last is mostly padding."""
    x = torch.arange(6.0).repeat_interleave(32)[None, None, None, None].expand(1, 1, 32, 32, 192)
    gaps = torch.tensor([5.0, 1, 4, 2, 3, 0.5])[:, None]
    zero = torch.zeros(6, 1)
    codes = torch.zeros(6, dtype=torch.long)
    seen = Exemplars()
    record = Quantised(gaps, zero, zero, codes, *[codes] * 3)
    seen.add(x, torch.tensor([1, 1, 1, 1, 1, 0.4]), record, HERE)
    assert [e.distance for e in seen.of_code[0]] == [1, 4, 9, 16]
    assert [float(e.projection.max()) for e in seen.of_code[0]] == [1, 3, 4, 2]


def test_pieces_of_patches_that_overlap_are_shown_once():
    """The same tissue again, 31 voxels on along x, is a duplicate; 32 voxels on it is not."""
    codes = torch.zeros(1, dtype=torch.long)
    seen = Exemplars()
    for shift, distance in ((0, 2.0), (31, 1.0), (63, 3.0), (31 + 4 * 32, 4.0)):
        record = Quantised(torch.tensor([[distance]]), torch.zeros(1, 1), *[codes] * 5)
        place = Cell(0, (0, 0, shift))
        seen.add(torch.zeros(1, 1, 32, 32, 32), torch.ones(1), record, place)
    assert [e.start[2] for e in seen.of_code[0]] == [31, 63, 31 + 4 * 32]


def test_no_more_tokens_than_needed(patches, monkeypatch):
    monkeypatch.setattr(examine, "TOKENS_PER_CODE", 2)
    found = examine_codebook(Brightness([DARK, BRIGHT, FAR, FAR]), patches)
    assert found.numbers["tokens_examined"] == 8


def test_a_collapsed_codebook_is_void(patches):
    found = examine_codebook(Brightness([DARK, FAR, FAR, FAR]), patches)
    assert found.numbers["perplexity"] == pytest.approx(1)
    assert found.numbers["quant_mse"] == pytest.approx(2.0, abs=1e-2)  # half of them miss by 4
    assert found.void.startswith("codebook collapsed")


def test_a_bypassed_codebook_is_void(patches):
    found = examine_codebook(Brightness([DARK, BRIGHT, FAR, FAR], uses_codes=False), patches)
    assert found.numbers["bypass_gap"] == 0
    assert found.void.startswith("codebook bypassed")


def test_padding_counts_for_nothing(tmp_path, monkeypatch):
    """Of two thin volumes, mirrored to twice their depth, each token counts half."""
    image = np.full((16, 32, 64), 100, np.uint16)
    image[0, 0, :4], image[-1, -1, :4] = 0, 400
    parts = [
        whole_volume(
            write_array(
                tmp_path,
                f"v{i}",
                np.ascontiguousarray(image[:, ::step]),
                spacing_um=None,
                group="g",
            )
        )
        for i, step in enumerate((1, -1))
    ]
    patches = PatchSet(parts, Data(patch=(32, 32, 64), clip_percentile=CLIPPED))
    found = examine_codebook(Brightness([DARK, BRIGHT]), patches)
    assert found.numbers["tokens_examined"] == 16  # 2 patches, 2 tokens, 8 turns, half of each


def test_a_codebook_without_pretraining_starts_from_the_tokens_of_all_patches(patches):
    """Nearly two kinds of tokens: two codes, one on each, and no bypass to speak of."""
    teacher = Brightness([FAR, FAR], uses_codes=False)
    found = start_codebook(teacher, patches, seed=0)
    codes = sorted(teacher.quantiser.codebook.vectors.tolist())
    assert codes[0] == pytest.approx(DARK, abs=1e-3)
    assert codes[1] == pytest.approx(BRIGHT, abs=1e-3)
    wanted = {"perplexity": 2.0, "code_usage": 1.0, "quant_mse": 0.0, "tokens_examined": 64.0}
    assert found.numbers == pytest.approx(wanted, abs=1e-3)
    assert found.void is None
    assert set(found.pictures) == {"code_usage", "code_patches"}


def test_tokens_that_are_all_alike_start_no_codebook(patches):
    with pytest.raises(BadInput, match="cannot start from"):
        start_codebook(Brightness([FAR] * 40), patches, seed=0)


def test_channels_are_selected_by_variance_where_no_pretraining_did(patches):
    """The two channels that tell patches apart are the last of three."""
    teacher = Brightness([FAR, FAR])
    encode = teacher.encode
    teacher.encode = lambda x: (torch.cat([0 * x[:, :, :1, :1, :2], encode(x)[0]], 1),)
    selection = ChannelSelection(3, 2)
    teacher.quantiser.dn, teacher.quantiser.up = selection, ChannelScatter(selection, 3)
    start_codebook(teacher, patches, seed=0)
    assert selection.index.tolist() == [1, 2]
    assert sorted(teacher.quantiser.codebook.vectors.tolist())[0] == pytest.approx(DARK, abs=1e-3)


def test_drift_is_the_share_of_tokens_that_changed_their_code(patches):
    before = Brightness([DARK, BRIGHT, FAR])
    assert code_drift(before, before, patches) == {"code_drift": 0}
    swapped = Brightness([DARK, FAR, BRIGHT])
    assert code_drift(before, swapped, patches) == {"code_drift": 0.5}
    assert code_drift(before, Brightness([FAR, DARK, BRIGHT]), patches) == {"code_drift": 1}


def test_only_a_codebook_can_be_examined(patches):
    plain = Toy(lambda x: x)
    plain.quantiser = None
    with pytest.raises(AssertionError, match="only a teacher with a codebook"):
        examine_codebook(plain, patches)
