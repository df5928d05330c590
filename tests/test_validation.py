"""Looking at a student while it is trained changes nothing but its rows."""

import json
from dataclasses import replace

import pytest
import torch

from tests.toys import voxelwise
from vpbsd.config import Data
from vpbsd.data.folds import held_out, make_folds, whole_volume
from vpbsd.errors import BadInput
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import WEIGHTS
from vpbsd.optim import Optim
from vpbsd.pipeline import recipes, run
from vpbsd.safetensors_io import read_tensors
from vpbsd.training import validation
from vpbsd.training.validation import Validation
from vpbsd.training.validation_epochs import DSC, is_validated


@pytest.fixture
def student(tiny, folds, cheap):
    fold = held_out(folds[0])
    return recipes.deliverable(tiny, "light_unet", fold, seed=0), fold


def results(stage, folder):
    folder.mkdir()
    list(run.run(stage, {}, folder))
    return read_tensors(folder / WEIGHTS)[0], json.loads((folder / "rows.json").read_text())


def test_the_weights_are_those_of_the_same_stage_unwatched(student, tmp_path):
    stage, fold = student
    watched = replace(stage, parts=stage.parts | {"validation": fold.test})
    weights, rows = results(watched, tmp_path / "watched")
    plain, plain_rows = results(stage, tmp_path / "plain")
    assert all(torch.equal(weights[name], plain[name]) for name in plain)
    assert [DSC in row for row in rows] == [True, True]
    assert not any(DSC in row for row in plain_rows)
    drop = {DSC, "time"}
    kept = [{k: v for k, v in row.items() if k not in drop} for row in rows]
    assert kept == [{k: v for k, v in row.items() if k not in drop} for row in plain_rows]


def test_only_stages_that_are_watched_have_another_key(student, monkeypatch):
    stage, fold = student
    watched = {"validation": fold.test}
    keys = [replace(stage, parts=stage.parts | more).key for more in ({}, watched)]
    monkeypatch.setattr("vpbsd.pipeline.stages.VALIDATION", 3)
    again = [replace(stage, parts=stage.parts | more).key for more in ({}, watched)]
    assert keys[0] == again[0] == stage.key
    assert len({*keys, *again}) == 3


def test_the_dice_is_that_of_all_patches_and_padding_does_not_count(student, volumes):
    """One of the two volumes is thinner than a patch."""
    parts = tuple(whole_volume(v) for v in volumes if v.labelled and v.name != "v2")
    config = student[0].config.model_copy(update={"data": Data(patch=(32, 64, 64))})
    seen = Validation(parts, config.data, config.optim, config.precision)
    method = build_method(config.method, 0)
    method.network = voxelwise()
    got = seen.row(method, {"epoch": 1.0}, torch.device("cpu"))[DSC]
    both = either = 0
    for i in range(len(seen.patches)):
        inside = seen.patches.valid(i) > 0
        found, truth = seen.patches.image(i)[inside] > 0.5, seen.patches.label(i)[0][inside] > 0
        both, either = both + (found & truth).sum(), either + found.sum() + truth.sum()
    assert 0.1 < got < 0.999
    assert got == pytest.approx(2 * both / either)
    assert method.training


def test_ten_looks_at_a_schedule_and_each_epoch_of_a_short_one():
    long, short = (Optim(lr=1, epochs=epochs) for epochs in (30, 4))
    assert [e for e in range(1, 31) if is_validated(long, e)] == list(range(3, 31, 3))
    assert [e for e in range(1, 5) if is_validated(short, e)] == [1, 2, 3, 4]


def test_a_glance_is_at_few_patches(volumes, tiny, monkeypatch, student):
    monkeypatch.setattr(validation, "MOST_PATCHES", 1)
    parts = tuple(whole_volume(v) for v in volumes if v.labelled)
    config = student[0].config
    assert len(Validation(parts, config.data, config.optim, config.precision).patches) == 1


@pytest.mark.parametrize("on", ["auto", "all"])
def test_a_group_held_out_is_in_no_role_and_the_test_is_gone(on, volumes, tiny):
    for fold in make_folds(volumes, tiny.protocol.model_copy(update={"pretrain_on": on})):
        inner = held_out(fold)
        out = {part.volume.group for part in inner.test}
        assert len(out) == 1
        kept = {p.volume.group for p in (*inner.train, *inner.unlabelled)}
        assert not out & kept
        tested = {part.volume.group for part in fold.test}
        assert not tested & (out | kept)
        assert {*inner.train, *inner.test} == {*fold.train}


def test_different_folds_hold_different_groups_out(volumes, tiny):
    out = [held_out(f).test[0].volume.group for f in make_folds(volumes, tiny.protocol)]
    assert len(set(out)) == 3


def test_a_fold_of_one_training_group_has_none_to_hold_out(volumes, tiny):
    few = tuple(v for v in volumes if v.name != "v2")
    fold = make_folds(few, tiny.protocol.model_copy(update={"folds": 2}))[0]
    with pytest.raises(BadInput, match=r"trains on one group only \(animal1\)"):
        held_out(fold)
