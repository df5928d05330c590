"""MCSC: who learns whose labels, which voxels are contrasted, where gradients stop."""

import numpy as np
import pytest
import torch

from tests import small
from tests.references import losses as reference
from tests.references import rivals
from vpbsd.config import LightNet, SwinNet
from vpbsd.losses.classes import hard_labels
from vpbsd.methods import mcsc as under_test
from vpbsd.methods.local_groups import blocks_of, draw_blocks, groups_of, stratified
from vpbsd.methods.method import Clock
from vpbsd.methods.rival_configs import Cps, Mcsc, McscConfig
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import build_network
from vpbsd.random_streams import generator

SHAPE = (1, 1, 32, 32, 64)
EARLY, LATE = Clock(0, 2, 100), Clock(50, 2, 100)
TRANSFORMER = small.NETWORK.model_copy(update={"codebook": None})


@pytest.fixture(scope="module")
def batch():
    return small.semi_batch(SHAPE)


def made(**changes):
    """With a convolutional network of a transformer's widths in its place, which is faster."""
    method = build_method(McscConfig(transformer=TRANSFORMER, mcsc=Mcsc(**changes)), 5)
    method.transformer = build_network(LightNet(widths=(12, 48, 48, 48)), 9)
    return method


@pytest.fixture(scope="module")
def method():
    return made(voxels=64, groups=2)


def test_each_network_learns_the_others_labels(method, batch):
    with torch.no_grad():
        terms = method.losses(batch, LATE)
        logits = [a.logits.double().numpy() for a in method._answers(batch.unlabelled.image)]
        known = [a.logits.double().numpy() for a in method._answers(batch.labelled.image)]
    valid, label = batch.unlabelled.valid.numpy(), batch.labelled.label.numpy()
    for name, mine, other in (("cps", *logits), ("cps_transformer", *logits[::-1])):
        p = reference.vessel_probability(mine)
        expected = reference.dice_loss(p, rivals.hard_labels(other), valid)
        assert terms[name].item() == pytest.approx(expected, abs=1e-5)
    for name, mine in zip(("sup", "sup_transformer"), known, strict=True):
        assert terms[name].item() == pytest.approx(reference.dice_ce(mine, label, valid), abs=1e-5)
    hard = [rivals.hard_labels(one) for one in logits]
    agreed = 1 - reference.dice_loss(*hard, valid)
    assert method.readings(LATE)["agreement"] == pytest.approx(agreed, abs=1e-6)


def test_no_gradient_of_cross_labels_reaches_their_author(method, batch):
    method.zero_grad()
    terms = method.losses(batch, LATE)
    terms["cps"].backward(retain_graph=True)
    assert all(p.grad is None for p in method.transformer.parameters())
    terms["cps_transformer"].backward(retain_graph=True)
    moved = [p.grad.clone() for p in method.student.parameters()]
    terms["cps_transformer"].backward()
    assert all(
        torch.equal(p.grad, g) for p, g in zip(method.student.parameters(), moved, strict=True)
    )


@pytest.mark.parametrize(
    ("changes", "clock", "expected"),
    [
        ({}, EARLY, ["truth", "truth"]),
        ({}, LATE, ["truth", "truth", "transformer", "student"]),
        ({"labels": "own"}, LATE, ["truth", "truth", "student", "transformer"]),
        ({"start_share": 0.0}, EARLY, ["truth", "truth", "transformer", "student"]),
    ],
)
def test_whose_labels_tell_whose_voxels(changes, clock, expected, batch, monkeypatch):
    """In the order CNN, transformer; on labelled, then on unlabelled patches."""
    method, seen = made(scales=(8,), voxels=16, **changes), []

    def seeing(feature, label, *more):
        seen.append(label)
        return draw_blocks(feature, label, *more)

    monkeypatch.setattr(under_test, "draw_blocks", seeing)
    with torch.no_grad():
        method.losses(batch, clock)
        answers = method._answers(batch.unlabelled.image)
    student, transformer = (hard_labels(a.logits) for a in answers)
    authors = {"student": student, "transformer": transformer, "truth": batch.labelled.label}
    assert len(seen) == len(expected)
    assert all(
        torch.equal(found, authors[name]) for found, name in zip(seen, expected, strict=True)
    )


def test_the_contrast_is_the_mean_over_groups_that_have_anchors(method, batch, monkeypatch):
    groups = []
    monkeypatch.setattr(
        under_test,
        "groups_of",
        lambda drawn: (groups.append(g) or g for g in groups_of(drawn)),
    )
    monkeypatch.setattr(under_test, "stratified", lambda y, k, most, draw: torch.where(k)[0][:40])
    with torch.no_grad():
        found = method.losses(batch, EARLY)["contrast_8"].item()
    own = groups[-len(groups) // 2 :]
    costs = []
    for group in own:
        rows = torch.where(group.real)[0][:40]
        vectors, labels = group.features[rows].double().numpy(), group.labels[rows].tolist()
        costs.append(
            rivals.supervised_contrast(vectors, labels, [y > 0 for y in labels], 0.1, True)
        )
    assert found == pytest.approx(np.mean([c for c in costs if c is not None]), abs=1e-4)


def test_weights(method):
    weights = method.weights(LATE)
    cps = 0.1 * 0.2865048
    wanted = {"sup": 1, "sup_transformer": 1, "cps": cps, "cps_transformer": cps}
    assert weights == pytest.approx(wanted | {"contrast_2": 2e-3, "contrast_8": 2e-3}, abs=1e-7)
    bare = made(contrast=0)
    assert not bare.projectors
    assert bare.weights(LATE).keys() == wanted.keys()


def test_the_transformer_has_a_rate_and_weights_of_its_own():
    assert McscConfig(transformer_lr=0.5).lr_of == {"transformer": 0.5}
    one, other = (build_method(McscConfig(transformer=TRANSFORMER), seed) for seed in (5, 6))
    pairs = zip(one.transformer.parameters(), other.transformer.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert isinstance(McscConfig().transformer, SwinNet)


# --- blocks


def test_blocks_are_cubes_of_one_patch_with_the_labels_of_their_corners():
    label = torch.arange(2 * 32 * 32 * 64.0).view(2, 1, 32, 32, 64)
    feature = label[:, :, ::8, ::8, ::8].repeat(1, 3, 1, 1, 1)
    drawn = draw_blocks(feature, label, torch.ones_like(label), 9, generator(0, "x"))
    assert drawn.features.shape == (2, 2, 64, 3)
    assert torch.equal(drawn.features[..., 0], drawn.labels)
    assert drawn.real.all()
    for patch, found in zip(label, drawn.labels, strict=True):
        cubes = {tuple(c.tolist()) for c in blocks_of(patch[None, :, ::8, ::8, ::8], 4)[0, ..., 0]}
        assert {tuple(block.tolist()) for block in found} == cubes


def test_each_patch_has_an_order_of_its_own():
    places = torch.arange(64.0).view(1, 1, 4, 4, 4).repeat(4, 1, 1, 1, 1)
    label = places.repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
    feature = label[:, :, ::2, ::2, ::2]
    drawn = draw_blocks(feature, label, torch.ones_like(label), 3, generator(0, "x"))
    first = drawn.labels[:, 0, 0]
    assert len(set(first.tolist())) > 1
    groups = list(groups_of([drawn, drawn]))
    assert len(groups) == 3
    assert groups[0].features.shape == (2 * 4 * 512, 1)


def test_a_draw_is_half_vessel_where_it_can_be():
    labels = torch.tensor([1.0] * 10 + [0.0] * 90)
    kept = torch.ones(100, dtype=torch.bool)
    kept[:4] = False
    for most, ones, zeros in ((8, 4, 4), (50, 6, 44), (200, 6, 90)):
        chosen = stratified(labels, kept, most, generator(0, "x"))
        assert len(chosen) == len(set(chosen.tolist())) == ones + zeros
        assert labels[chosen].sum() == ones
        assert kept[chosen].all()
    few = stratified(1 - labels, kept, 50, generator(0, "x"))
    assert (1 - labels)[few].sum() == 44, "all six zeros that may be drawn, the rest ones"


def test_what_only_the_contrast_uses_is_in_no_key_without_it():
    same = {"temperature": 0.5, "scales": (4,), "anchors": "all", "voxels": 16}
    assert Mcsc(contrast=0, **same).in_use() == Mcsc(contrast=0)
    assert Mcsc(**same).in_use() == Mcsc(**same)


def test_the_ramp_of_no_cross_labels_is_in_no_key():
    assert Mcsc(cps=0, ramp_share=0.5).in_use() == Mcsc(cps=0)
    assert Mcsc(ramp_share=0.5).in_use() == Mcsc(ramp_share=0.5)
    assert Cps(weight=0, ramp_share=0.5).in_use() == Cps(weight=0)
    assert Cps(ramp_share=0.5).in_use() == Cps(ramp_share=0.5)
