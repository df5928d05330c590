"""V-Net: MONAI's own answer, and the states beside it."""

import pytest
import torch

from vpbsd.config import VNet
from vpbsd.errors import BadInput
from vpbsd.networks.build import build_network


@pytest.mark.slow  # 45 million parameters, kernels of 5^3
def test_it_is_monais_network_with_its_states_told():
    net = build_network(VNet(), 0).eval()
    x = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer, expected = net(x), net.net(4 * x - 1)
    assert torch.equal(answer.logits, expected)
    assert [(s.shape[1], s.shape[-1]) for s in answer.stages] == [
        (32, 16),
        (64, 8),
        (128, 4),
        (256, 2),
    ]
    assert [(s.shape[1], s.shape[-1]) for s in answer.decoded] == [
        (256, 4),
        (128, 8),
        (64, 16),
        (32, 32),
    ]


@pytest.mark.slow
def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(BadInput, match="multiple of 16"):
        build_network(VNet(), 0)(torch.zeros(1, 1, 16, 32, 40))
