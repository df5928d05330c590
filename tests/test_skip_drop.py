"""Fine-tuning from codes alone: dropped skips reach the loss; without them no key changes."""

import pytest
import torch

from tests import small
from vpbsd import config
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import PatchesWithTargets, Pool, draw_labelled
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.roster import build_method
from vpbsd.methods.skips import kept_skips
from vpbsd.pipeline.recipes import teacher
from vpbsd.section import canonical


def test_all_skips_of_a_sample_go_together_and_about_so_often_as_asked():
    clocks = [Clock(step, 1, 500) for step in range(500)]
    draws = torch.cat([kept_skips(torch.zeros(4, 1), 0.25, 0, clock) for clock in clocks])
    assert draws.shape == (2000, 5)
    assert (draws == draws[:, :1]).all()
    assert float(draws.mean()) == pytest.approx(0.75, abs=0.03)


def test_a_teacher_tuned_without_skips_answers_from_its_codes(folds, tiny):
    """With one code word for all tokens, all images have the same mask unless skips are there."""
    patches = PatchSet(folds[0].train, tiny.data)
    batch = draw_labelled(Pool(PatchesWithTargets(patches, {}), None, 2, 0, augment=False), 0)
    batches = (batch, batch._replace(image=batch.image.flip(0)))
    losses = {}
    for chance in (0.0, 1.0):
        method = build_method(SupervisedConfig(network=small.NETWORK, skip_drop=chance), 0).eval()
        with torch.no_grad():
            method.network.quantiser.codebook.vectors.fill_(0.5)
            losses[chance] = [float(method.losses(b, Clock(0, 1, 1))["sup"]) for b in batches]
    assert losses[1.0][0] == losses[1.0][1]
    assert losses[0.0][0] != losses[0.0][1]


def test_the_setting_reaches_the_teacher_and_no_key_without_it(folds, tiny, monkeypatch):
    monkeypatch.setattr(config, "TOKENS_PER_CODE", 1)
    dropped = small.settings(finetune__skip_drop=0.5)
    assert teacher(dropped, folds[0], 0).config.method.skip_drop == 0.5
    assert teacher(dropped, folds[0], 0).key != teacher(tiny, folds[0], 0).key
    assert "skip_drop" not in canonical(teacher(tiny, folds[0], 0).config.method)
