"""Thresholds by hand, and that no label of a test part touches their choice."""

import json

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.volume_writer import write_array
from vpbsd.errors import BadInput
from vpbsd.evaluation import thresholds
from vpbsd.evaluation.metrics import best_threshold
from vpbsd.evaluation.thresholds import (
    RAW,
    Choice,
    best_common,
    choose_threshold,
    count_shades,
    otsu,
    usable_scales,
)
from vpbsd.pipeline import recipes, run
from vpbsd.pipeline.stages import Stage
from vpbsd.safetensors_io import read_tensors

SHAPE = (4, 10, 10)


def part(home, name, group, vessels, background, seed=0, label=None):
    """A volume of which a tenth is vessel; vessels and background of one grey value each."""
    truth = np.zeros(SHAPE, bool)
    truth[:, 0] = True
    image = np.where(truth, vessels, background).astype(np.uint16)
    label = truth if label is None else label
    info = write_array(home, name, image, label, spacing_um=(1.0, 1.0, 1.0), group=group)
    return whole_volume(info)


def shades(image, truth):
    return count_shades(np.array(image), np.array(truth, bool))


def test_groups_weigh_alike_by_hand():
    """Two volumes of one group count as one: 3 gives (1 + .4) / 2, 7 gives (.5 + 1) / 2."""
    likes_3 = shades([1, 3, 3, 7], [0, 1, 1, 1])  # at 3: 1; at 7: 2 * 1 / (1 + 3) = 1/2
    likes_7 = shades([3, 3, 3, 7], [0, 0, 0, 1])  # at 3: 2 * 1 / (4 + 1) = 2/5; at 7: 1
    assert best_common([likes_3, likes_3, likes_7], ["a", "a", "b"]) == (7.0, 0.75)
    assert best_common([likes_3, likes_3, likes_7], ["a", "b", "c"]) == (3.0, (1 + 1 + 0.4) / 3)


def test_of_one_part_it_is_the_best_threshold():
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.3
    image = rng.integers(0, 40, 500) + 9 * truth
    assert best_common([shades(image, truth)], ["a"]) == best_threshold(image, truth)


def test_many_intensities_are_tried_evenly(monkeypatch):
    monkeypatch.setattr(thresholds, "CANDIDATES", 3)
    few = shades(np.arange(100.0), np.arange(100) >= 49)
    assert best_common([few], ["a"]) == (49.0, 1.0)


def test_a_scale_of_its_own_where_staining_differs(tmp_path):
    """Raw, a's vessels are b's background; scaled, all vessels are 1 and all background is 0."""
    parts = [part(tmp_path, "a", "a", 100, 10), part(tmp_path, "b", "b", 1000, 100)]
    raw = choose_threshold(parts, [RAW])
    assert raw == Choice(RAW, 100.0, pytest.approx((1 + 2 * 0.1 / 1.1) / 2))
    assert choose_threshold(parts) == Choice(95.0, 1.0, 1.0)


def test_one_training_group_is_enough_and_raw_wins_ties(tmp_path):
    assert choose_threshold([part(tmp_path, "a", "a", 100, 10)]) == Choice(RAW, 100.0, 1.0)


def test_a_region_is_chosen_on_alone(tmp_path):
    """Its other half, which tests, is another picture."""
    truth = np.zeros(SHAPE, bool)
    truth[:, 0] = True
    image = np.where(truth, 100, 10).astype(np.uint16)
    image[2:] = np.where(truth[2:], 10, 100)
    info = write_array(tmp_path, "v", image, truth, spacing_um=None, group="g")
    half = Part(info, ((0, 2), (0, 10), (0, 10)))
    assert choose_threshold([half], [RAW]) == Choice(RAW, 100.0, 1.0)


def test_a_scale_that_erases_a_volume_is_not_used(tmp_path):
    """Under the 95th percentile of a volume that is one part in a hundred vessel lies nothing."""
    sparse = np.zeros(SHAPE, bool)
    sparse[0, 0, :3] = True
    info = write_array(tmp_path, "v", sparse.astype(np.uint16), sparse, spacing_um=None, group="g")
    full = part(tmp_path, "a", "a", 100, 10)
    assert usable_scales([full]) == (RAW, 95.0, 99.0, 99.5, 99.9)
    assert usable_scales([full, whole_volume(info)]) == (RAW, 99.5, 99.9)


def test_labels_without_a_vessel_are_refused(tmp_path):
    empty = part(tmp_path, "a", "a", 100, 10, label=np.zeros(SHAPE, bool))
    with pytest.raises(BadInput, match="no training part holds a vessel"):
        choose_threshold([empty])


def test_otsu_of_a_bimodal_volume():
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(50, 8, 900), rng.normal(150, 8, 100)]).astype(np.uint8)
    assert 80 < otsu(image) < 130
    assert np.array_equal(image >= otsu(image), image > threshold_otsu(image))
    assert otsu(np.full(5, 3)) == np.inf


def done(stage, out, resume=None):
    """Runs a stage; its rows, numbers, and a checkpoint after each step."""
    out.mkdir()
    saved = []
    for step in run.run(stage.spec, {}, out, resume):
        saved.append(out.with_name(f"{out.name}-{len(saved)}"))
        step.save(saved[-1])
    rows, summary = (json.loads((out / f"{n}.json").read_text()) for n in ("rows", "summary"))
    return rows, summary["numbers"], saved


def stage_of(rule, train, test, tiny):
    arm = {"labels": "threshold"}.get(rule, rule)
    fold = type("Fold", (), {"train": tuple(train), "test": tuple(test)})
    return recipes.threshold(tiny, arm, fold)


@pytest.mark.parametrize("arm", ["threshold", "otsu"])
def test_no_label_of_the_test_touches_the_choice(arm, tiny, tmp_path):
    train = [part(tmp_path, "a", "a", 100, 10), part(tmp_path, "b", "b", 1000, 100)]
    other = np.zeros(SHAPE, bool)
    other[:, 5:] = True
    found = []
    for i, label in enumerate((None, other)):
        home = tmp_path / f"home{i}"
        test = part(home, "t", "t", 60, 7, label=label)
        found.append(done(stage_of(arm, train, [test], tiny), tmp_path / f"out{i}"))
    (row,), numbers, _ = found[0]
    (turned,), again, _ = found[1]
    assert numbers == again
    assert row["foreground_prediction"] == turned["foreground_prediction"] == 0.1
    assert (row["dsc"], row["threshold_dsc"], turned["dsc"]) == (1.0, 1.0, 0.0)
    if arm == "threshold":
        assert numbers == {"threshold": 1.0, "scale_percentile": 95.0, "training_dsc": 1.0}
    else:
        assert numbers == {"threshold/vol_t": 60.0}


@pytest.mark.parametrize("arm", ["threshold", "otsu"])
def test_it_goes_on_from_its_checkpoints(arm, tiny, folds, tmp_path):
    whole = recipes.trial(tiny, arm, folds[0], seed=0)
    test = whole.parts["test"] + folds[1].test
    stage = Stage(whole.config, {**whole.parts, "test": test})
    rows, numbers, saved = done(stage, tmp_path / "straight")
    assert len(rows) == len(saved) == 2
    assert len(read_tensors(saved[0])[0]) == 3  # overlay, projection, strip
    again, same, _ = done(stage, tmp_path / "again", saved[0])
    assert same == numbers
    assert [row["dsc"] for row in again] == [row["dsc"] for row in rows]
    assert again[0] == rows[0]
    for picture in (tmp_path / "straight").glob("*.png"):
        assert (tmp_path / "again" / picture.name).read_bytes() == picture.read_bytes()
    assert all(0 < row["dsc"] <= row["threshold_dsc"] for row in rows)
