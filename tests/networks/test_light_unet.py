"""The student: budget, shapes, and a deepest feature that can become any code."""

import warnings

import pytest
import torch

from vpbsd.errors import BadInput
from vpbsd.losses.distillation import feature_l1
from vpbsd.networks.light_unet import LightUNet


@pytest.fixture
def net():
    torch.manual_seed(0)
    return LightUNet()


def patch(*sides, batch=1):
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(1))


def test_parameters_are_those_of_the_published_student(net):
    # convolutions 73 548 down and 46 656 up, norms 464, head 4 * 2 + 2
    assert sum(p.numel() for p in net.parameters()) == 73_548 + 46_656 + 464 + 10
    assert not list(net.buffers())


def test_multiply_adds_are_those_of_the_published_student(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thop = pytest.importorskip("thop")
        macs, _ = thop.profile(net, (patch(64, 64, 64),), verbose=False)
    assert 0.105e9 <= macs <= 0.115e9


@pytest.mark.parametrize("sides", [(64, 64, 64), (32, 64, 64), (32, 32, 32)])
def test_shapes(net, sides):
    answer = net(patch(*sides, batch=2))
    assert answer.logits.shape == (2, 2, *sides)
    widths, factors = (4, 16, 20, 32, 32), (2, 4, 8, 16, 32)
    assert [tuple(level.shape) for level in answer.decoded] == [
        (2, width, *(side // factor for side in sides))
        for width, factor in ((20, 16), (16, 8), (4, 4), (4, 2))
    ]
    assert [tuple(stage.shape) for stage in answer.stages] == [
        (2, width, *(side // factor for side in sides))
        for width, factor in zip(widths, factors, strict=True)
    ]


def test_stages_are_taken_before_the_activation(net):
    stages = net(patch(32, 64, 64)).stages
    assert all((stage < 0).any() for stage in stages[:4])


def test_where_stages_are_recorded_does_not_change_what_the_decoder_sees(net):
    seen, answered = [], []
    for level in net.decoder:
        level.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        level.register_forward_hook(lambda _, args, out: answered.append(out))
    *skips, deepest = net(patch(32, 64, 64)).stages
    enlarge = torch.nn.Upsample(scale_factor=2, mode="trilinear")
    act = torch.nn.LeakyReLU(0.01)
    for x, below, skip in zip(seen, [deepest, *answered], reversed(skips), strict=False):
        assert torch.equal(x, enlarge(act(below)) + act(skip))


def test_z_s_can_become_any_code_so_that_l_dis_reaches_zero(net):
    code = torch.randn(32, generator=torch.Generator().manual_seed(2))
    assert code.min() < -1
    last_norm = net.encoder[3][-1]
    torch.nn.init.zeros_(last_norm.weight)
    last_norm.bias.data = code
    z = net(patch(32, 64, 64)).stages[-1]
    assert feature_l1(z, code.reshape(1, 32, 1, 1, 1).expand_as(z)).item() == 0


def test_every_parameter_takes_part(net):
    net(patch(64, 64, 64)).logits.square().sum().backward()
    assert all((p.grad.abs() > 1e-8).any() for p in net.parameters())


@pytest.mark.parametrize("sides", [(48, 64, 64), (64, 64, 65), (0, 64, 64), (64, 64)])
def test_sides_must_be_multiples_of_32(net, sides):
    with pytest.raises(BadInput, match="multiple of 32; use 64x64x64"):
        net(torch.zeros(1, 1, *sides))


@pytest.mark.parametrize("widths", [(4, 16, 20), (4, 16, 20, 30), (0, 4, 4, 4)])
def test_widths_must_suit_the_norm(widths):
    with pytest.raises(BadInput, match="four multiples of 4"):
        LightUNet(widths)


def test_other_widths_give_other_deepest_channels():
    assert LightUNet((4, 12, 12, 48))(patch(32, 32, 64)).stages[-1].shape == (1, 48, 1, 1, 2)
