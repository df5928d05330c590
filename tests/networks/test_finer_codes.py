"""Codes of finer cells: what the decoder knows at their scale and above, it knows from them."""

import pytest
import torch

from tests import small
from vpbsd.config import TOKENS_PER_CODE, Codebook, SwinNet
from vpbsd.data.patches import TeacherTargets
from vpbsd.methods.student import Seen
from vpbsd.networks.build import build_network
from vpbsd.networks.light_unet import LightUNet
from vpbsd.networks.swin_unetr import SKIPS

GRIDS = {32: (1, 1, 2), 16: (2, 2, 4), 8: (4, 4, 8)}
WIDTHS = {32: 192, 16: 96, 8: 48}


def network(cell):
    book = Codebook(size=small.CODES, width=20, cell=cell)
    plain = SwinNet(feature_size=12, window_size=4, depths=(1, 1, 1, 1), codebook=book)
    return build_network(plain, 0).eval()


def patch(seed=1):
    return torch.rand(1, 1, *small.PATCH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cell", GRIDS)
@torch.no_grad()
def test_the_coded_state_is_that_of_the_cells(cell):
    state = network(cell).coded_state(network(cell).encode(patch()))
    assert state.shape == (1, WIDTHS[cell], *GRIDS[cell])


@pytest.mark.parametrize("cell", GRIDS)
@torch.no_grad()
def test_without_skips_the_answer_is_that_of_the_codes(cell):
    """Another image with the same codes gives the same mask, the same image with others does not.

    Finer skips are dropped; the codes enter as one that is kept all the same.
    """
    net, x, other = network(cell), patch(1), patch(2)
    none = torch.zeros(1, SKIPS)
    codes = torch.randn(1, WIDTHS[cell], *GRIDS[cell])
    answers = [net.decode(image, net.encode(image), codes, none).logits for image in (x, other)]
    assert torch.equal(*answers)
    assert not torch.equal(answers[0], net.decode(x, net.encode(x), -codes, none).logits)
    assert none.eq(0).all()  # the caller's own tensor stays as it was


@torch.no_grad()
def test_nothing_coarser_than_the_codes_reaches_the_decoder():
    net, x = network(8), patch()
    hidden = net.encode(x)
    codes = torch.randn(1, WIDTHS[8], *GRIDS[8])
    other = (*hidden[:3], hidden[3] + 1, hidden[4] - 1)
    assert torch.equal(net.decode(x, hidden, codes).logits, net.decode(x, other, codes).logits)
    finer = (hidden[0], hidden[1] + 1, *hidden[2:])
    assert not torch.equal(net.decode(x, hidden, codes).logits, net.decode(x, finer, codes).logits)


@pytest.mark.parametrize(("cell", "place"), [(32, 4), (16, 3), (8, 2)])
@torch.no_grad()
def test_the_student_has_a_state_on_the_grid_of_the_codes(cell, place):
    answer = LightUNet()(patch())
    codes = torch.zeros(1, 1, *GRIDS[cell])
    seen = Seen(answer, TeacherTargets(codes), torch.ones(1, 1, *small.PATCH))
    assert seen.beside(codes) is answer.stages[place]
    assert seen.beside(None) is answer.stages[-1]


def test_k_means_starts_from_the_same_patches_however_fine_the_cells():
    assert Codebook(size=4).start_tokens == TOKENS_PER_CODE * 4
    assert Codebook(size=4, cell=8).start_tokens == TOKENS_PER_CODE * 4 * 64
