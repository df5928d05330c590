"""What group norm cannot see, the intensity path and batch norm can."""

import pytest
import torch

from vpbsd.config import LightNet, SwinNet
from vpbsd.networks.build import build_network

X = torch.rand(2, 1, 32, 32, 64, generator=torch.Generator().manual_seed(1))
SWIN = {"feature_size": 12, "window_size": 4, "depths": (1, 1, 1, 1)}


def logits(config, x=X):
    with torch.no_grad():
        return build_network(config, 0).eval()(x).logits


@pytest.mark.parametrize(
    ("config", "sees"),
    [
        (LightNet(), False),
        (LightNet(intensity_path=True), True),
        (LightNet(norm="batch"), True),
    ],
)
def test_who_sees_that_a_patch_is_ten_times_darker(config, sees):
    network = build_network(config, 0)
    with torch.no_grad():
        for _ in range(30):  # batch norm learns the moments of these patches
            network.train()(X)
        change = (network.eval()(0.1 * X).logits - network(X).logits).abs().max()
    assert (change > 0.05) == sees


@pytest.mark.parametrize(("kind", "more"), [(LightNet, {}), (SwinNet, SWIN)])
def test_all_other_weights_are_those_of_a_network_without_the_path(kind, more):
    plain = build_network(kind(**more), 0).state_dict()
    whole = build_network(kind(intensity_path=True, **more), 0)
    rest = {n: w for n, w in whole.state_dict().items() if not n.startswith("intensity_path.")}
    assert rest.keys() == plain.keys()
    assert all(torch.equal(rest[name], plain[name]) for name in plain)
    added = whole.intensity_path(X)
    with torch.no_grad():
        torch.testing.assert_close(
            logits(kind(intensity_path=True, **more)), logits(kind(**more)) + added
        )


def test_the_path_has_34_parameters_and_mixes_no_voxels():
    path = build_network(LightNet(intensity_path=True), 0).intensity_path
    assert sum(p.numel() for p in path.parameters()) == 34
    changed = X.clone()
    changed[0, 0, 5, 6, 7] += 1
    where = (path(changed) != path(X)).any(1).nonzero().tolist()
    assert where == [[0, 5, 6, 7]]


def test_batch_norm_of_a_teacher_is_in_its_decoder_alone():
    network = build_network(SwinNet(norm="batch", **SWIN), 0)
    normed = {
        n.split(".")[1] for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm3d)
    }
    assert normed == {
        *(f"decoder{i}" for i in range(1, 6)),
        *(f"encoder{i}" for i in (1, 2, 3, 4, 10)),
    }
