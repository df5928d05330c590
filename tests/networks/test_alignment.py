"""Dimension alignment in both directions."""

import pytest
import torch

from vpbsd.errors import BadInput
from vpbsd.networks.alignment import ChannelSelection, alignment

GRID = (1, 2, 2)
KINDS = ["conv1", "linear", "chsel", "linear_flat"]


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(kind, grid=GRID):
    torch.manual_seed(0)
    return alignment(kind, 12, 4, grid)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_both_ways(kind):
    dn, up = build(kind)
    assert dn(draw(0, 3, 12, *GRID)).shape == (3, 4, *GRID)
    assert up(draw(0, 3, 4, *GRID)).shape == (3, 12, *GRID)


@pytest.mark.parametrize(
    ("kind", "dn_size", "up_size"),
    [("conv1", 24_608, 25_344), ("linear", 24_608, 25_344), ("chsel", 0, 0)],
)
def test_sizes_at_the_teachers_width(kind, dn_size, up_size):
    modules = alignment(kind, 768, 32, (2, 2, 2))
    assert [sum(p.numel() for p in m.parameters()) for m in modules] == [dn_size, up_size]


def test_linear_equals_conv1_once_it_has_its_weights():
    for conv, linear in zip(build("conv1"), build("linear"), strict=True):
        linear.weight.data = conv.weight.data.flatten(1)
        linear.bias.data = conv.bias.data
        x = draw(1, 2, conv.in_channels, *GRID)
        assert torch.allclose(linear(x), conv(x), atol=1e-6)


def test_selection_undoes_scatter():
    dn, up = build("chsel")
    q = draw(0, 2, 4, *GRID)
    for _ in range(2):
        assert torch.equal(dn(up(q)), q)
        assert (up(q) != 0).sum() == q.numel()
        dn.select(draw(1, 12))


def test_selection_starts_with_the_first_and_then_takes_the_most_varied():
    dn, up = build("chsel")
    z = torch.arange(12.0).reshape(1, 12, 1, 1, 1)
    assert dn(z).flatten().tolist() == [0, 1, 2, 3]
    variance = torch.tensor([0.0, 7, 1, 8, 8, 0, 0, 0, 0, 0, 0, 9])
    dn.select(variance)
    assert dn(z).flatten().tolist() == [1, 3, 4, 11]
    assert up(dn(z)).flatten().tolist() == [0, 1, 0, 3, 4, 0, 0, 0, 0, 0, 0, 11]


def test_ties_go_to_the_first_channels():
    selection = ChannelSelection(64, 8)
    selection.select(torch.ones(64))
    assert selection.index.tolist() == list(range(8))


def test_the_index_set_is_saved_once_and_read_by_both():
    dn, up = build("chsel")
    dn.select(torch.arange(12.0))
    other_dn, other_up = build("chsel")
    assert list(dn.state_dict()) == ["index"]
    assert not up.state_dict()
    other_dn.load_state_dict(dn.state_dict())
    q = draw(0, 2, 4, *GRID)
    assert torch.equal(other_up(q), up(q))


def test_the_pair_stays_a_pair_when_it_moves():
    both = torch.nn.ModuleList(build("chsel")).to("meta")
    both[0].index = torch.tensor([0, 2, 4, 6])
    assert both[1](torch.ones(1, 4, 1, 1, 1)).flatten().tolist() == [1, 0] * 4 + [0] * 4


def test_tokens_see_each_other_only_when_flattened():
    x = draw(0, 1, 12, *GRID)
    other = x.clone()
    other[..., 0, 0, 0] += 1
    for kind in KINDS:
        dn, _ = build(kind)
        changed = (dn(x) != dn(other)).any(1).sum().item()
        assert changed == (4 if kind == "linear_flat" else 1)


def test_flat_alignment_wants_its_grid():
    dn, _ = build("linear_flat")
    with pytest.raises(BadInput, match="built for a grid of 1x2x2, got 2x2x2"):
        dn(draw(0, 1, 12, 2, 2, 2))


def test_one_cannot_select_more_channels_than_there_are():
    with pytest.raises(BadInput, match="cannot select 4 of 3"):
        alignment("chsel", 3, 4, GRID)
