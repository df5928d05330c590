"""Arms of a study differ in what they are about and in nothing else."""

import pytest
import torch

from tests import small
from vpbsd.config import LightNet
from vpbsd.data.folds import whole_volume
from vpbsd.data.patches import draw_labelled
from vpbsd.methods.configs import (
    EntropyConfig,
    MeanTeacherConfig,
    SupervisedConfig,
    UncertainTeacherConfig,
)
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    Kd,
    KdConfig,
    Vid,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.methods.rival_configs import (
    Cps,
    CpsConfig,
    Dico,
    DicoConfig,
    Mcsc,
    McscConfig,
    SimCVD,
    SimCVDConfig,
)
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.pipeline.arms import ARMS, FIRST_PHASES, FIXED
from vpbsd.pipeline.recipes import REFERENCES, deliverable
from vpbsd.pipeline.run_train import make_pool
from vpbsd.training.loop import Training, fit

pytestmark = pytest.mark.usefixtures("cheap")  # stages of tiny budgets

CPU = torch.device("cpu")
SWIN = small.NETWORK.model_copy(update={"codebook": None})
STUDENTS = [arm for arm in ARMS if arm not in REFERENCES]


def weights_after(config, pool, steps=5):
    training = Training(build_method(config, 0), Optim(lr=1e-2, epochs=steps), steps_per_epoch=1)
    assert sum(1 for _ in fit(training, pool, CPU)) == steps
    return training.method.deliverable.state_dict()


@pytest.fixture(scope="module")
def kept(volumes):
    return small.Kept(
        (whole_volume(volumes[0]), whole_volume(volumes[1])), (whole_volume(volumes[4]),)
    )


@pytest.fixture(scope="module")
def baseline(kept):
    return weights_after(SupervisedConfig(network=LightNet()), kept.pool(unlabelled=False))


@pytest.mark.parametrize("unlabelled", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(beta=0, gamma=0),
        KdConfig(kd=Kd(weight=0), distil_on="both"),
        VidConfig(vid=Vid(weight=0), distil_on="both"),
    ],
)
def test_without_its_terms_a_method_is_the_baseline_bit_for_bit(
    config, unlabelled, kept, baseline
):
    assert config.needs_targets == ()
    weights = weights_after(config, kept.pool(unlabelled=unlabelled))
    assert weights.keys() == baseline.keys()
    assert all(torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "plain",
    [
        MeanTeacherConfig(weight=0, sup="dice"),
        UncertainTeacherConfig(weight=0, sup="dice"),
        EntropyConfig(weight=0, sup="dice"),
        CpsConfig(cps=Cps(weight=0), sup="dice"),
        pytest.param(
            McscConfig(sup="dice", transformer=SWIN, mcsc=Mcsc(cps=0, contrast=0)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            DicoConfig(sup="dice", transformer=SWIN, dico=Dico(weight=0, adversarial=0)),
            marks=pytest.mark.slow,
        ),
        SimCVDConfig(
            sup="dice", simcvd=SimCVD(alpha=0, contrast=0, pairwise=0, consistency=0, pool=8)
        ),
    ],
)
def test_without_its_term_a_semi_supervised_arm_is_the_baseline(plain, kept, baseline):
    assert not plain.draws_unlabelled
    weights = weights_after(plain, kept.pool())
    assert all(torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(beta=0),
        VpbSDConfig(gamma=0, ramp_epochs=0),
        VpbSDConfig(gamma=0, ramp_epochs=0, pseudo="soft"),
        VpbSDConfig(beta=0, gamma=0, cldice=0.5, cldice_iterations=1),
        FitNetsConfig(teacher_width=192),
        MeanTeacherConfig(sup="dice"),
        MeanTeacherConfig(weight=0),
        UncertainTeacherConfig(sup="dice", certain=1, passes=1),
        EntropyConfig(sup="dice"),
        CpsConfig(sup="dice"),
        SimCVDConfig(sup="dice", simcvd=SimCVD(contrast=0, pairwise=0, consistency=0)),
        pytest.param(
            SimCVDConfig(sup="dice", simcvd=SimCVD(alpha=0, pool=8)), marks=pytest.mark.slow
        ),
        KdConfig(),
        VidConfig(teacher_width=192, vid=Vid(hidden=8)),
    ],
)
def test_each_term_alone_leads_away_from_the_baseline(config, kept, baseline):
    weights = weights_after(config, kept.pool(config.needs_targets), steps=5)
    assert any(not torch.equal(weights[name], baseline[name]) for name in baseline)


@pytest.mark.parametrize(
    "config",
    [
        VpbSDConfig(),
        FitNetsConfig(),
        SupervisedConfig(network=LightNet()),
        KdConfig(),
        VidConfig(),
        HintsConfig(),
        AbConfig(),
        CpsConfig(),
        SimCVDConfig(),
        McscConfig(transformer=SWIN),
        DicoConfig(transformer=SWIN),
    ],
)
def test_all_arms_start_from_one_student(config):
    start = build_method(VpbSDConfig(), 0).deliverable.state_dict()
    same, other = (build_method(config, seed).deliverable.state_dict() for seed in (0, 1))
    assert all(torch.equal(same[name], start[name]) for name in start)
    assert any(not torch.equal(other[name], start[name]) for name in start)


def test_all_arms_see_the_same_labelled_patches_in_the_same_order(tiny, folds):
    pools = {}
    for arm in [arm for arm in STUDENTS if arm not in FIXED]:
        stage = deliverable(tiny, arm, folds[0], seed=3)
        pools[arm] = make_pool(stage, stage.config, {}), build_method(stage.config.method, 3)
    for arm in FIRST_PHASES:  # both phases draw by the steps of one schedule
        stage = deliverable(tiny, arm, folds[0], seed=3).upstream["start"]
        pools[stage.label] = (
            make_pool(stage, stage.config, {}),
            build_method(stage.config.method, 3),
        )
    for step in range(6):
        wanted = draw_labelled(pools["light_unet"][0], step)
        for arm, (pool, method) in pools.items():
            batch = type(method).draws(pool, step)
            batch = getattr(batch, "labelled", batch)
            assert torch.equal(batch.image, wanted.image), arm
            assert torch.equal(batch.label, wanted.label), arm
