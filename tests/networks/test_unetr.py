"""UNETR answers as the other networks do, and every weight of it is used."""

import pytest
import torch
from monai.networks.nets import UNETR

from tests import small
from vpbsd.config import UnetrNet
from vpbsd.errors import BadInput
from vpbsd.networks.build import build_network, load_network, save_network
from vpbsd.networks.unetr import Unetr


@pytest.fixture
def net():
    return build_network(small.UNETR, 0)


def test_it_is_monais_network_on_the_centred_image(net):
    plain = UNETR(1, 2, small.PATCH, 2, 8, 8, 2)
    left_out = plain.load_state_dict(net.net.state_dict(), strict=False).missing_keys
    assert len(left_out) == 24
    assert all("norm_cross_attn" in name for name in left_out)
    x = torch.rand(1, 1, *small.PATCH)
    answer = net(x)
    assert torch.equal(answer.logits, plain(4 * x - 1))
    assert answer.stages == ()


def test_a_stored_one_answers_the_same(net, tmp_path):
    save_network(tmp_path, net, small.UNETR)
    x = torch.rand(1, 1, *small.PATCH)
    assert torch.equal(load_network(tmp_path)(x).logits, net.eval()(x).logits)


def test_what_it_cannot_be_built_for_is_refused():
    with pytest.raises(BadInput, match="16x64x64"):
        Unetr((16, 64, 64), 2, 8, 8, 2)
    with pytest.raises(ValueError, match="hidden_size 8 is no multiple of num_heads 3"):
        UnetrNet(hidden_size=8, num_heads=3)
