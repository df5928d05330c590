"""S2DC's moving parts: the average that gives the other view, and the keys of earlier crops."""

import pytest
import torch

from tests import small
from vpbsd.data.patches import TeacherTargets, Unlabelled
from vpbsd.methods.method import Clock
from vpbsd.methods.pretraining_configs import S2dcConfig
from vpbsd.methods.regions import cropped, joined, moved, pairs_of
from vpbsd.methods.roster import build_method

CONFIG = S2dcConfig(network=small.PLAIN, hidden=8, width=6, keys=6)
FIRST = Clock(0, 2, 4)


@pytest.fixture(scope="module")
def batch():
    image = torch.rand(1, 1, 32, 64, 128, generator=torch.Generator().manual_seed(0))
    valid = torch.ones_like(image)
    valid[..., 64:] = 0  # the two right crops are padding
    return Unlabelled(image, valid, TeacherTargets())


def test_the_average_takes_no_gradient_and_follows(batch):
    method = build_method(CONFIG, 0).train()
    trained = [p for p in method.parameters() if p.requires_grad]
    assert not {id(p) for p in trained} & {id(p) for p in method.mean.parameters()}
    sum(method.losses(batch, FIRST).values()).backward()
    assert all(p.grad is None for p in method.mean.parameters())
    with torch.no_grad():
        for p in trained:
            p.add_(1)
    method.after_step(FIRST)
    student, mean = dict(method.branch.named_parameters()), method.mean.inner
    assert all(torch.equal(p, student[name]) for name, p in mean.named_parameters()), "a copy"
    with torch.no_grad():
        for p in trained:
            p.add_(1)
    method.after_step(Clock(1, 2, 4))
    for name, p in mean.named_parameters():
        step = 0.5 if student[name].requires_grad else 0.0
        assert torch.allclose(p, student[name] - step), name


def test_keys_of_padding_are_no_negatives_and_the_ring_wraps(batch):
    method = build_method(CONFIG, 0).train()
    with torch.no_grad():
        first = method.losses(batch, FIRST)["global"]
        assert method.keys.share.tolist() == [1, 0, 1, 0, 0, 0]
        method.losses(batch, Clock(1, 2, 4))
    assert int(method.keys.seen) == 8
    assert method.keys.share.tolist() == [1, 0, 1, 0, 1, 0], "the newest over the oldest"
    assert first <= torch.log(torch.tensor(2.0)) + 2 / CONFIG.tau, "one negative, the other crop"


def test_crops_of_a_region_join_to_it_and_only_real_tokens_are_paired(batch):
    assert torch.equal(joined(cropped(batch.image)), batch.image)
    assert torch.equal(cropped(batch.image)[1, 0], batch.image[0, 0, :, :32, 64:])
    tokens = torch.randn(4, 6, 2, 2, 4)
    ((here, there, truth),) = pairs_of(tokens, tokens, batch, moved(batch, 0, 0))
    assert len(here) == 2 * 4 * 4, "half of the region"
    assert truth.shape == (len(here), len(there))
    assert torch.equal(here[0], tokens[0, :, 0, 0, 0]), "as they are: losses normalise them"
