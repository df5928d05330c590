"""Stacks with thick slices: z waits for cubic voxels, and the teacher's grid is met by means."""

import pytest
import torch

from tests.test_stage_keys import info
from vpbsd.data.folds import make_folds
from vpbsd.data.patches import TeacherTargets
from vpbsd.methods.student import Seen
from vpbsd.networks.light_unet import LightUNet
from vpbsd.networks.output import SegOutput
from vpbsd.overrides import override
from vpbsd.pipeline.anisotropy import z_halvings
from vpbsd.pipeline.recipes import deliverable
from vpbsd.settings import laptop


@pytest.mark.parametrize("halvings", [5, 4, 3, 0])
def test_the_last_halvings_shorten_z(halvings):
    answer = LightUNet(z_halvings=halvings)(torch.rand(1, 1, 32, 64, 64))
    assert answer.logits.shape == (1, 2, 32, 64, 64)
    shorter = [max(0, done - (5 - halvings)) for done in range(1, 6)]
    assert [stage.shape[2] for stage in answer.stages] == [32 >> n for n in shorter]
    assert [stage.shape[3] for stage in answer.stages] == [32, 16, 8, 4, 2]


def test_a_plan_is_the_median_ratio_in_halvings():
    cubic, thick, thicker = (1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (8.0, 1.0, 1.0)
    assert z_halvings((cubic,)) == 5
    assert z_halvings((cubic, thick, thicker, None)) == 3
    assert z_halvings(((0.5, 2.0, 2.0),)) == 5  # thin slices are no reason for more
    assert z_halvings(((1000.0, 1.0, 1.0),)) == 0


def test_an_unknown_voxel_size_is_said(capsys):
    z_halvings.cache_clear()
    assert z_halvings((None,)) == 5
    assert "no voxel size is known" in capsys.readouterr().err


def test_auto_is_planned_for_the_training_volumes_and_is_a_number_in_the_key():
    s = override(laptop(), {"student.network.z_halvings": "auto"})
    fold = make_folds(tuple(info(n, labelled=n < 5) for n in range(8)), s.protocol)[0]

    def key(value):
        changed = override(s, {"student.network.z_halvings": value})
        return deliverable(changed, "light_unet", fold, 0).key

    assert key("auto") == key(4)  # 3 um slices of 1.625 um pixels
    assert key("auto") != key(5)


def test_what_is_compared_with_the_teacher_lies_on_its_grid():
    fine = torch.arange(16.0).reshape(1, 1, 4, 2, 2)
    stages = (torch.zeros(1, 1, 1, 1, 1),) * 4 + (fine,)
    seen = Seen(SegOutput(torch.zeros(1), stages), TeacherTargets(), torch.ones(1, 1, 32, 64, 64))
    # means over the four slices, 0 4 8 12 and so on
    assert seen.deepest.tolist() == [[[[[6.0, 7.0], [8.0, 9.0]]]]]
    same = Seen(seen.answer, TeacherTargets(), torch.ones(1, 1, 128, 64, 64))
    assert same.deepest is fine
