"""A stage goes on from any checkpoint to the same bits."""

import json
from dataclasses import replace

import pytest
import torch

from tests.shared_keys import FINE, PRE, SAID
from vpbsd.config import LightNet
from vpbsd.data.folds import whole_volume
from vpbsd.networks.build import build_network, load_network
from vpbsd.pipeline import recipes, run
from vpbsd.pipeline.stage_config import Evaluate
from vpbsd.pipeline.stages import Stage
from vpbsd.pipeline.targets import StoredTargets
from vpbsd.safetensors_io import read_tensors

STOPS = [
    (PRE, 0),  # warming up
    (FINE, 0),
    ("codes of labelled patches", 1),
    *(("vpbsd", step) for step in range(6)),
]


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def same_results(one, other):
    """Two result folders hold the same files with the same content, but for the time."""
    assert {p.name for p in one.iterdir()} == {p.name for p in other.iterdir()}
    for path in one.iterdir():
        again = other / path.name
        if path.suffix == ".safetensors":
            (tensors, _), (others, _) = read_tensors(path), read_tensors(again)
            assert tensors.keys() == others.keys()
            assert all(torch.equal(tensors[name], others[name]) for name in tensors)
        elif path.name == "rows.json":
            rows = [json.loads(p.read_text()) for p in (path, again)]
            assert timeless(rows[0]) == timeless(rows[1])
        elif path.suffix != ".zip":
            assert path.read_bytes() == again.read_bytes(), path.name


@pytest.mark.parametrize(("label", "stop"), STOPS)
def test_a_stage_goes_on_from_any_checkpoint(label, stop, trial, small_steps, tmp_path):
    done = trial[label]
    steps = list(run.run(done.stage, done.inputs, tmp_path, done.saved[stop]))
    assert len(steps) == len(done.saved) - 1 - (stop % len(done.saved))
    same_results(done.folder, tmp_path)
    if label in SAID:
        field = done.stage.config.says
        one, other = (StoredTargets(folder, field) for folder in (done.folder, tmp_path))
        assert len(one) == len(other) == 6
        assert all((one[i] == other[i]).all() for i in range(6))


def test_margins_go_on_from_a_checkpoint_too(trial, small_steps, tmp_path):
    """They are computed, saved and stored in two bytes, unlike the fields above."""
    done = trial["codes of labelled patches"]
    config = done.stage.config.model_copy(update={"says": "margin"})
    stage, folders = replace(done.stage, config=config), [tmp_path / "one", tmp_path / "other"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        resume = tmp_path / "1" if number else None
        for step in run.run(stage, done.inputs, folder, resume):
            if not number:
                step.save(tmp_path / f"{round(step.share * 3)}")
    one, other = (StoredTargets(folder, "margin") for folder in folders)
    assert len(one) == len(other) == 6
    assert all((one[i] == other[i]).all() and one[i].any() for i in range(6))


def test_a_second_phase_goes_on_from_the_first(trial, tiny, folds, cheap, tmp_path):
    """The encoder alone was trained before; a rate near 0 shows where the second phase began."""
    s = recipes.override(tiny, {"student.optim.epochs": 3, "student.optim.steps_per_epoch": 2})
    last = recipes.deliverable(s, "ab", folds[0], seed=0)
    still = last.config.optim.model_copy(update={"lr": 1e-30})
    last = replace(last, config=last.config.model_copy(update={"optim": still}))
    folders = {trial["fine-tuning"].stage.key: trial["fine-tuning"].folder}
    shares = {}
    for stage in last.lineage():
        if stage.family in ("targets", "student"):
            inputs = {name: folders[up.key] for name, up in stage.upstream.items()}
            folders[stage.key] = tmp_path / stage.key
            folders[stage.key].mkdir()
            steps = run.run(stage, inputs, folders[stage.key])
            shares[stage.label] = [step.share for step in steps]
    begin = last.upstream["start"]
    assert (shares["ab, first phase"], shares["ab"]) == ([1.0], [0.5, 1.0])
    first, second = (load_network(folders[stage.key]).state_dict() for stage in (begin, last))
    for name in first:  # biases of exactly 0 still move by the rate
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-20)
    fresh = build_network(LightNet(), seed=0).state_dict()
    moved = {name for name in fresh if not torch.equal(fresh[name], first[name])}
    assert moved == {name for name in fresh if name.startswith("encoder.")}
    rows = [json.loads((folders[stage.key] / "rows.json").read_text()) for stage in (begin, last)]
    assert [[row["epoch"] for row in part] for part in rows] == [[1.0], [2.0, 3.0]]
    assert rows[1][0]["lr"] == pytest.approx(1e-30 * still.final_ratio ** (1 / 3))


def test_an_evaluation_goes_on_from_any_volume(trial, volumes, tmp_path):
    student = trial["vpbsd"]
    data = student.stage.config.data
    parts = tuple(whole_volume(v) for v in volumes[:3])
    stage = Stage(
        Evaluate(data=data, precision="fp32"), {"test": parts}, {"network": student.stage}
    )
    inputs, straight = {"network": student.folder}, tmp_path / "straight"
    straight.mkdir()
    for number, step in enumerate(run.run(stage, inputs, straight)):
        step.save(tmp_path / f"{number}")
        assert step.share == pytest.approx((number + 1) / 3)
    rows = json.loads((straight / "rows.json").read_text())
    assert [(row["volume"], row["group"]) for row in rows] == [
        (v.name, v.group) for v in volumes[:3]
    ]
    for kind in ("overlay", "projection"):
        assert len(list(straight.glob(f"{kind}_*.png"))) == 3
    for stop in (0, 2):
        again = tmp_path / f"again{stop}"
        again.mkdir()
        assert len(list(run.run(stage, inputs, again, tmp_path / f"{stop}"))) == 2 - stop
        same_results(straight, again)
