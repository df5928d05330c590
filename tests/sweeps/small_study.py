"""A study in MLflow without any training: what a sweep would have logged, by hand."""

from __future__ import annotations

import json
from itertools import product

import numpy as np

from vpbsd.evaluation.pictures import save_png
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker

GROUPS = {f"vol{i}": f"animal{i // 2}" for i in range(12)}
FOLDS = {fold: [f"vol{4 * fold + i}" for i in range(4)] for fold in range(3)}
GAIN = {"light_unet": 0.0, "vpbsd": 0.02, "vpbsd_wo_dis": -0.01}
VOID = ("vpbsd_wo_dis", 1)
SECONDS = {"pre-training": 600.0, "student": 60.0, "evaluation": 6.0}


def small_study(home, name="small", changes=None, gain=None):
    """Three folds of two groups with two volumes each; one arm is void in one fold. Stages are
    shared by all folds of an arm, to have few. `gain` adds to the DSC of an arm in a fold."""
    tracker = Tracker(f"sqlite:///{home}/mlflow.db", name, (home / "artifacts").as_uri())
    identity = {
        "settings": override(laptop(), changes or {}).model_dump(mode="json"),
        "data": "d" * 64,
        "arms": list(GAIN),
        "seeds": [0],
        "teacher_seed": 0,
    }
    tags = {tag.KIND: tag.SWEEP_KIND, tag.STUDY_IDENTITY: json.dumps(identity), tag.COMMIT: "abc"}
    tags[tag.GROUPS] = json.dumps(GROUPS)
    parent = tracker.get_or_create_run("sweep", name, None, {}, tags)
    picture = home / "picture.png"
    save_png(picture, np.zeros((8, 9, 3), np.uint8))
    _pretraining(tracker, parent, picture)
    for arm in GAIN:
        for fold in FOLDS:
            more = gain(arm, fold) if gain else 0.0
            add_trial(tracker, parent, (arm, fold, 0), gain=more)
    for kind, (number, name) in product(("overlay", "projection", "strip"), enumerate(FOLDS[0])):
        shown = picture.with_name(f"{kind}_{number}_{name}.png")
        shown.write_bytes(picture.read_bytes())
        for arm in GAIN:
            run = tracker.get_or_create_run(f"trial:{arm}-fold0-seed0", "", None, {}, {})
            tracker.log_file(run, shown, "pictures")
    tracker.end("sweep", "FINISHED")
    return tracker


def add_trial(tracker, parent, place, unit=None, gain=0.0):
    """A finished trial and its stages; DSC depends on volume, arm and seed in a known way."""
    arm, fold, seed = place
    name = f"{arm}-fold{fold}-seed{seed}"
    stages = {"pre-training": "p" * 64} if arm != "light_unet" else {}
    for family in ("student", "evaluation"):
        stages[family] = f"{family}-{arm}"
        if not tracker.is_finished(f"stage:{stages[family]}"):
            _stage(tracker, parent, family, stages[family])
    tags = {
        tag.KIND: tag.TRIAL_KIND,
        tag.ARM: arm,
        tag.FOLD: fold,
        tag.SEED: seed,
        tag.STAGES: json.dumps(stages),
        tag.GROUPS: json.dumps({v: GROUPS[v] for v in FOLDS[fold]}),
        tag.VOID: "pre-training: codes collapsed" if (arm, fold) == VOID else "",
    }
    unit = unit or f"trial:{name}"
    run = tracker.get_or_create_run(unit, name, parent, {}, tags)
    tracker.log_rows(unit, [{"epoch": e, "loss/sup": 1 / e, "time": 1e9 + e} for e in (1, 2, 3)])
    numbers = {"params_deploy": 120678.0, "gmac_torch": 0.05}
    for volume in FOLDS[fold]:
        dsc = 0.6 + 0.01 * int(volume[3:]) + GAIN[arm] + 0.002 * seed + gain
        for metric in ("dsc", "accuracy", "jaccard", "cldice"):
            numbers[f"test/{metric}/vol_{volume}"] = dsc
        numbers[f"test/hd95_vox/vol_{volume}"] = 10 * (1 - dsc)
        numbers[f"test/smd/vol_{volume}"] = 1 - dsc
        numbers[f"test/threshold_dsc/vol_{volume}"] = 0.5
    tracker.log_metrics(run, numbers, 1e9)
    tracker.end(unit, "FINISHED")
    return run


def _stage(tracker, parent, family, key, **numbers):
    tags = {
        tag.KIND: tag.STAGE_KIND,
        tag.KEY: key,
        tag.FAMILY: family,
        tag.COMMIT: "abc",
        "vpbsd.device": "cpu",
        "vpbsd.torch": "2.13",
    }
    params = {"optim.epochs": 3, "optim.batch": 2, "method.network.codebook.size": 16}
    run = tracker.get_or_create_run(f"stage:{key}", family, parent, params, tags)
    seconds = {"sys/seconds": SECONDS[family], "sys/finished": 1e9}
    tracker.log_metrics(run, {**seconds, **numbers}, 1e9)
    tracker.end(f"stage:{key}", "FINISHED")
    return run


def _pretraining(tracker, parent, picture):
    key = "p" * 64
    run = _stage(tracker, parent, "pre-training", key, perplexity=9.0, bypass_gap=0.1)
    tracker.reopen(f"stage:{key}")
    rows = [{"epoch": e, "perplexity/argmin": 7.0 + e, "time": 1e9 + e} for e in (1, 2)]
    tracker.log_rows(f"stage:{key}", rows)
    tracker.log_file(run, picture, "pictures")
    tracker.end(f"stage:{key}", "FINISHED")
