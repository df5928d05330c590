"""Every kind of stage goes on from any of its checkpoints as if it had never stopped."""

import json

import numpy as np
import pytest
import torch

from tests import small
from tests.shared_keys import FINE, PRE
from vpbsd.config import LightNet
from vpbsd.evaluation.code_statistics import verdict
from vpbsd.inference.profiling import FIRST, block_times
from vpbsd.networks.build import NETWORK, WEIGHTS, build_network, load_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pipeline import recipes, run, run_evaluate, teachers
from vpbsd.pipeline.stage_config import Timing
from vpbsd.pipeline.stages import Stage
from vpbsd.pipeline.targets import StoredTargets
from vpbsd.safetensors_io import load_weights
from vpbsd.training.loop import Diverged


def test_every_result_says_what_it_is(trial):
    for done in trial.values():
        described = json.loads((done.folder / "stage.json").read_text())
        assert described == json.loads(json.dumps(done.stage.describe()))
        assert described["key"] == done.stage.key
        assert described["upstream"].keys() == done.stage.upstream.keys()
        assert done.summary.keys() == {"numbers", "void"}
        assert all(isinstance(value, float) for value in done.summary["numbers"].values())


def test_a_training_leaves_rows_and_a_network(trial):
    for label, epochs, steps in ((PRE, 2, 2), (FINE, 1, 2), ("vpbsd", 2, 3)):
        rows = trial[label].rows
        assert [(row["epoch"], row["step"]) for row in rows] == [
            (float(e + 1), float(steps * (e + 1))) for e in range(epochs)
        ]
        assert all(row["time"] > 1e9 for row in rows)
        network = load_network(trial[label].folder)
        assert not network.training
        described = json.loads((trial[label].folder / NETWORK).read_text())
        assert described == trial[label].stage.config.method.network.model_dump(mode="json")
    assert {"loss/sup", "loss/semi", "loss/dis", "weight/semi"} <= trial["vpbsd"].rows[0].keys()
    assert {"loss/rec", "tau", "kappa"} <= trial[PRE].rows[0].keys()
    assert {"loss/cb", "perplexity/argmin"} <= trial[PRE].rows[1].keys() - trial[PRE].rows[
        0
    ].keys()


def test_the_deployed_student_is_a_plain_light_unet(trial):
    plain = build_network(LightNet(), seed=9)
    load_weights(trial["vpbsd"].folder / WEIGHTS, plain)
    assert trial["vpbsd"].summary["numbers"]["params_train"] == sum(
        p.numel() for p in plain.parameters()
    )


def test_fine_tuning_starts_from_the_patterns_and_keeps_them(trial):
    before, after = (load_network(trial[label].folder) for label in (PRE, FINE))
    assert isinstance(before, SwinTeacher)
    kept = {
        name
        for name, value in before.state_dict().items()
        if torch.equal(value, after.state_dict()[name])
    }
    patterns = {
        name for name in before.state_dict() if name.startswith(teachers.FROZEN_IN_FINE_TUNING)
    }
    assert patterns <= kept
    weights = {name for name, _ in before.named_parameters()}
    assert len(weights & kept) < 0.2 * len(weights)
    assert 0 <= trial[FINE].summary["numbers"]["code_drift"] <= 1


def test_a_pretraining_is_examined(trial):
    done = trial[PRE]
    names = {"perplexity", "code_usage", "bypass_gap", "mse_codes", "quant_mse"}
    assert names <= done.summary["numbers"].keys()
    assert (done.folder / "code_usage.png").is_file()
    assert (done.folder / "reconstructions.png").is_file()
    assert (done.summary["void"] is None) or "codebook" in done.summary["void"]


def test_a_teacher_without_pretraining_ends_with_a_codebook(
    trial, tiny, folds, small_steps, tmp_path
):
    s = recipes.override(tiny, {"pretrain.enabled": False, "pretrain.optim.epochs": 1})
    stage = recipes.teacher(s, folds[0], seed=0)
    assert not stage.upstream
    list(run.run(stage, {}, tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {"perplexity", "quant_mse"} <= summary["numbers"].keys()
    assert "bypass_gap" not in summary["numbers"]
    assert "code_drift" not in summary["numbers"]
    teacher = load_network(tmp_path)
    fresh = build_network(stage.config.method.network, 0)
    state, start = teacher.state_dict(), fresh.state_dict()
    changed = {n for n in state if n.startswith("quantiser") and (state[n] != start[n]).any()}
    assert changed == {f"quantiser.codebook.{n}" for n in ("vectors", "centre", "spread")}
    image = torch.rand(1, 1, *tiny.data.patch)
    raw = teacher.decode(image, teacher.encode(image)).logits
    assert torch.equal(teacher(image).logits, raw)  # what it segments knows nothing of codes


def test_random_codes_are_rows_of_noise_that_replace_the_learned_ones(
    trial, tiny, folds, small_steps, tmp_path
):
    s = recipes.override(tiny, {"student.random_codes": True})
    plain = trial["codes of unlabelled patches"]
    stage = recipes.said(s, trial[FINE].stage, "codes", "unlabelled", folds[0])
    assert stage.label == "random codes of unlabelled patches"
    kept = []
    for number in range(2):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        list(run.run(stage, plain.inputs, folder))
        kept.append(StoredTargets(folder, "codes"))
    codes = torch.from_numpy(np.stack([kept[0][i] for i in range(len(kept[0]))]))
    rows = codes.movedim(1, -1).reshape(-1, codes.shape[1])
    assert len(rows.unique(dim=0)) <= small.CODES
    assert torch.allclose(rows.mean(1), torch.zeros(len(rows)), atol=1e-5)
    assert torch.allclose(rows.var(1, correction=0), torch.ones(len(rows)), atol=1e-3)
    learned = StoredTargets(plain.folder, "codes")
    assert all((kept[0][i] == kept[1][i]).all() for i in range(len(learned)))
    assert all((kept[0][i] != learned[i]).all() for i in range(len(learned)))


def test_an_evaluation_leaves_a_row_per_volume(trial):
    done = trial["evaluate vpbsd"]
    (row,) = done.rows
    assert (row["volume"], row["group"]) == ("v0", "animal0")
    assert 0 <= row["dsc"] <= 1
    assert 0 < row["threshold_dsc"] <= 1
    assert done.summary["numbers"]["params_deploy"] == 120_678


def test_a_step_tells_how_far_it_is(trial, small_steps, tmp_path):
    done = trial["vpbsd"]
    steps = list(run.run(done.stage, done.inputs, tmp_path))
    assert [step.share for step in steps] == pytest.approx([n / 6 for n in range(1, 7)])
    assert [len(step.rows) for step in steps][-1] == 2


@pytest.mark.parametrize("lr", [1e30])
def test_a_training_that_diverges_names_step_and_term(lr, tiny, folds, cheap, tmp_path):
    s = recipes.override(tiny, {"student.optim.lr": lr, "student.optim.name": "sgd"})
    stage = recipes.deliverable(s, "light_unet", folds[0], seed=0)
    with pytest.raises(Diverged, match=r"loss 'sup' is nan at step [12]"):
        list(run.run(stage, {}, tmp_path))
    assert not (tmp_path / "rows.json").exists()


@pytest.mark.parametrize("pretrained", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_examination_measures_a_teacher_on_its_own_patches(pretrained, trial, cheap, tmp_path):
    """Two steps of fine-tuning teach no decoder to read codes: there is a verdict, and why."""
    stage = recipes.examination(trial[FINE].stage)
    inputs = {"teacher": trial[FINE].folder, "pretrained": trial[PRE].folder}
    if not pretrained:
        del inputs["pretrained"]
    assert [step.share for step in run.run(stage, inputs, tmp_path)][-1] == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    always = {"training_dsc", "swapped_dice", "r2_vessel_share", "r2_brightness"}
    rebuilt = {"mse_codes", "mse_cell_mean"} if pretrained else set()
    assert summary["numbers"].keys() == always | rebuilt
    assert np.isfinite(list(summary["numbers"].values())).all()
    assert summary["void"] == verdict(summary["numbers"])
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"swapped_codes.png", "code_vessel_share.png"}


def test_a_timing_tells_size_and_mean_time(tmp_path, monkeypatch):
    monkeypatch.setattr(run_evaluate, "block_times", lambda *_: iter([1.0, 2.0, 3.0] * 10))
    config = Timing(network=LightNet(), patch=(32, 64, 64), precision="fp32")
    steps = list(run.run(Stage(config, {}), {}, tmp_path))
    assert [step.share for step in steps] == pytest.approx([0.1, 0.2, 0.3])
    numbers = json.loads((tmp_path / "summary.json").read_text())["numbers"]
    assert numbers["ms_per_block"] == pytest.approx(4.0), "twice 2 ms: the patch is half a cube"
    assert numbers["ms_sd"] == pytest.approx(2 * (20 / 29) ** 0.5)
    assert 115_000 < numbers["params_deploy"] < 125_000


def test_blocks_are_timed_after_a_start():
    seen = []
    network = torch.nn.Conv3d(1, 1, 1)
    network.register_forward_hook(lambda *_: seen.append(1))
    times = list(block_times(network, (2, 2, 2), "fp32", blocks=7))
    assert len(times) == 7
    assert len(seen) == 7 + FIRST
    assert min(times) > 0
