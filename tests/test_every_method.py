"""One contract for every method: what the loop, the store and the tables rely on."""

import pytest
import torch

from tests import contract, small
from tests.every_config import METHODS
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import Labelled, Semi, TeacherTargets, Unlabelled
from vpbsd.methods.method import Clock
from vpbsd.methods.pretraining_configs import (
    ChaitanyaConfig,
    ComparativeConfig,
    ContrastiveConfig,
    PretrainingSection,
)
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.pipeline.teachers import FROZEN_IN_FINE_TUNING

PATTERNS = ("patterns", "patterns_at_half")
PRETRAINED = tuple(n for n, config in METHODS.items() if isinstance(config, PretrainingSection))
LARGE = (*PRETRAINED, "teacher", "teacher_no_pretrain", "unetr", "simcvd_vnet")
AVERAGED = ("mt", "uamt", "simcvd")
FROZEN = {
    "patterns": ("teacher.net.out",),
    "patterns_at_half": ("teacher.net.out", "teacher.net.encoder1", "teacher.net.decoder1"),
    "teacher": tuple(f"network.{part}" for part in FROZEN_IN_FINE_TUNING),
    "teacher_no_pretrain": tuple(f"network.{part}" for part in FROZEN_IN_FINE_TUNING),
    "hints": ("student.decoder", "student.head"),
    "ab": ("student.decoder", "student.head"),
}
SUPERVISED = ("light_unet", "teacher", "teacher_no_pretrain", "unetr")
BATCHES = {**dict.fromkeys(PRETRAINED, Unlabelled), **dict.fromkeys(SUPERVISED, Labelled)}
VARIANTS = {
    "teacher_no_pretrain",
    "patterns_at_half",
    "vpbsd_soft_pseudo",
    "s2dc_code",
    "comparative_unetr",
}
SLOW = VARIANTS | {name for name in METHODS if name.startswith(("simcvd_", "mcsc", "dico"))}
"""Variants, and networks that take seconds a step."""
EVERY = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in METHODS]
STUDENTS = [each for each in EVERY if each.values[0] not in LARGE]
LABELS = [each for each in EVERY if each.values[0] not in PRETRAINED]
BY_VOLUMES = (ComparativeConfig, ContrastiveConfig, ChaitanyaConfig)
LATE = Clock(3, 2, 4)
READ_PATCHES = ("patterns", "vpbsd", "baseline_mid_semi", "kd", "mt", "me", "cps", "simcvd")
"""One of each way to draw patches without label."""
LABELLED = ("semi", "kd", "cldice", "sdm", "discriminator", "pseudo")
"""Terms, beside the supervised ones, that depend on labels or on a teacher's."""


@pytest.fixture(scope="module")
def kept(volumes):
    """Thin volumes, so that every batch has padding; the unlabelled one secretly has a label."""
    thin = next(v for v in volumes if v.name == "v1")
    other = next(v for v in volumes if v.name == "v4")
    return small.Kept((whole_volume(thin),), (whole_volume(other),))


def case_of(name, kept):
    config = METHODS[name]
    wanted = config.needs_targets
    unlabelled = name in PRETRAINED or any(role == "unlabelled" for _, role in wanted)
    unlabelled = unlabelled or config.draws_unlabelled
    batch = 1 if name in LARGE else 2  # large networks take their time
    drawn = config.drawn(small.DATA) if name in PRETRAINED else small.DATA
    if type(config) in BY_VOLUMES:  # a second volume, also thin
        kept = kept._replace(unlabelled=kept.unlabelled + kept.labelled)
    pool = kept.pool(wanted, unlabelled=unlabelled, batch=batch, drawn=drawn)
    optim = Optim(lr=1e-3, epochs=2, clip=1.0)
    # a fresh student is certain of nothing, so that UA-MT's first threshold lets no voxel pass
    once = (*SUPERVISED, "uamt")
    clocks = (LATE,) if name in once else (Clock(0, 2, 4), LATE)
    return contract.Case(
        lambda: build_method(config, 3), pool, optim, FROZEN.get(name, ()), clocks
    )


@pytest.fixture(scope="module", params=EVERY)
def seen(request, kept):
    """A method of the roster, its case, and a look at it at every clock."""
    case = case_of(request.param, kept)
    method = case.build()
    return method, contract.look(case, method)


@pytest.fixture(params=EVERY)
def name(request):
    return request.param


def method_and_batch(name, kept):
    case = case_of(name, kept)
    method = case.build()
    return method, type(method).draws(case.pool, 0)


@torch.no_grad()
def losses(method, batch, clock=LATE):
    return {name: float(term) for name, term in method.train().losses(batch, clock).items()}


def test_losses_and_weights_share_their_names(seen):
    contract.losses_and_weights_share_names(seen[1])


def test_each_loss_alone_moves_some_trained_parameter(seen):
    contract.each_loss_alone_moves_a_trained_parameter(seen[1])


def test_no_trained_parameter_is_dead(seen):
    contract.no_trained_parameter_is_dead(*seen)


def test_no_parameter_hides_from_registration(seen):
    contract.no_parameter_hides(*seen)


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parts_stay_bit_identical(name, kept):
    contract.frozen_parts_stay(case_of(name, kept))


@pytest.mark.parametrize("name", STUDENTS)
def test_saved_state_is_all_the_state(name, kept, tmp_path, monkeypatch):
    contract.saved_state_is_all_the_state(case_of(name, kept), tmp_path, monkeypatch, (1, 2, 4))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("s2dc", marks=pytest.mark.slow),
        pytest.param("comparative", marks=pytest.mark.slow),
        "comparative_unetr",
        "contrastive",
        pytest.param("chaitanya", marks=pytest.mark.slow),
    ],
)
def test_saved_state_of_a_pretraining_is_all_of_it(name, kept, tmp_path, monkeypatch):
    """A stop within each of its phases."""
    contract.saved_state_is_all_the_state(case_of(name, kept), tmp_path, monkeypatch, (1, 3))


@pytest.mark.parametrize("name", AVERAGED)
def test_averages_move_as_their_formula_says(name, kept, monkeypatch):
    contract.averages_move_as_their_formula_says(case_of(name, kept), monkeypatch)


@pytest.mark.slow
def test_saved_state_of_patterns_spans_the_start_of_its_codebook(kept, tmp_path, monkeypatch):
    case = case_of("patterns", kept)
    before, after = 1, 3  # k-means starts the codebook after step 2
    stops = (before, after)
    rows = contract.saved_state_is_all_the_state(case, tmp_path, monkeypatch, stops)
    assert [sorted(n for n in row if n.startswith("loss/")) for row in rows] == [
        ["loss/rec"],
        ["loss/cb", "loss/rec"],
    ]


def test_batches_of_the_declared_kind_are_enough(name, kept):
    method, batch = method_and_batch(name, kept)
    assert type(batch) is BATCHES.get(name, Semi)
    assert losses(method, batch).keys() == method.weights(LATE).keys()


@pytest.mark.parametrize("name", READ_PATCHES)
def test_labels_of_unlabelled_patches_are_never_read(name, kept, volumes, monkeypatch):
    labelled = next(v for v in volumes if v.name == "v2")
    case = case_of(name, kept._replace(unlabelled=(whole_volume(labelled),)))
    secret, read = case.pool.unlabelled.patches, PatchSet.label

    def label(self, i):
        assert self is not secret, "the label of an unlabelled patch was read"
        return read(self, i)

    monkeypatch.setattr(PatchSet, "label", label)
    method = case.build()
    assert all(
        torch.tensor([*losses(method, type(method).draws(case.pool, 0)).values()]).isfinite()
    )
    assert "label" not in Unlabelled._fields


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_losses_are_finite_for_labels_of_one_kind(name, value, kept):
    method, batch = method_and_batch(name, kept)
    found = losses(method, with_labels(batch, lambda label, valid: torch.full_like(label, value)))
    assert all(torch.tensor([*found.values()]).isfinite()), found


def test_losses_and_gradients_are_finite_for_a_constant_image(name, kept):
    for clock in (LATE, Clock(0, 2, 4)) if name == "patterns" else (LATE,):
        assert_finite_for_a_constant_image(name, clock, kept)


def assert_finite_for_a_constant_image(name, clock, kept):
    method, batch = method_and_batch(name, kept)
    terms = method.losses(with_images(batch, torch.zeros_like), clock)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values()), terms
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", LABELS)
def test_padded_labels_and_pseudo_labels_change_no_loss(name, kept):
    method, batch = method_and_batch(name, kept)
    plain = losses(method, batch)

    def flipped_in(where):
        return lambda label, valid: torch.where(valid == where, 1 - label, label)

    assert losses(method, with_labels(batch, flipped_in(0))) == plain
    changed = losses(method, with_labels(batch, flipped_in(1)))
    assert {n for n in plain if changed[n] != plain[n]} == {
        n for n in plain if n in LABELLED or n.startswith(("sup", "contrast_"))
    }


def with_labels(batch, change):
    """The batch with its labels and its targets of voxels changed: change(label, valid)."""
    if isinstance(batch, Semi):
        return Semi(*(part and with_labels(part, change) for part in batch))
    targets, valid = batch.targets, batch.valid
    voxels = {"pseudo": targets.pseudo, "margin": targets.margin}
    changed = {name: change(x, valid) for name, x in voxels.items() if x is not None}
    batch = batch._replace(targets=targets._replace(**changed))
    return batch._replace(label=change(batch.label, valid)) if "label" in batch._fields else batch


def with_images(batch, change):
    if isinstance(batch, Semi):
        return Semi(*(part and with_images(part, change) for part in batch))
    return batch._replace(image=change(batch.image))


def test_the_changes_above_reach_what_they_should(kept):
    _, batch = method_and_batch("vpbsd", kept)
    assert batch.unlabelled.targets != TeacherTargets()
    for part in batch:
        assert 0 < (part.valid == 0).float().mean() < 1


def test_boundaries_tell_how_often_student_and_teacher_agree(kept):
    """A perfect pupil's connectors agree everywhere, those of its negative nowhere."""
    method, batch = method_and_batch("ab", kept)
    with torch.no_grad():
        features = batch.labelled.targets.features
        answer = torch.where(features > 0, 1.0, -1.0)
        method.deepest.forward = lambda z: answer
        method.shallower.forward = lambda z: -batch.labelled.targets.features16
        method.losses(batch, LATE)
    assert method.readings(LATE) == {"agreement": 1.0, "agreement16": 0.0}
