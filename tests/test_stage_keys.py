"""Stored results are found by their keys: no arm of a preset may get another one by accident.

The keys were written down before the code was rearranged. One that changes on purpose (`numerics`
was raised, a default changed) is written anew: `python -m tests.test_stage_keys`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.facts import animal
from vpbsd.data.volumes import VolumeInfo
from vpbsd.pipeline.arms import ARMS
from vpbsd.section import digest
from vpbsd.settings import PRESETS
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.study.void import examined_by

GOLDEN = Path(__file__).parent / "golden" / "stage_keys.json"
SHAPE = (100, 128, 160)


def info(number: int, *, labelled: bool) -> VolumeInfo:
    """Makes up a volume; keys know nothing but its fingerprint and its shape."""
    return animal(number, SHAPE, labelled=labelled)


def keys(preset: str) -> dict[str, dict[str, str]]:
    """Arm -> label -> key of every stage of its first fold, of its timing and examination."""
    volumes = tuple(info(n, labelled=n < 5) for n in range(8))
    study = Study("golden", PRESETS[preset](), volumes, tuple(ARMS), timed=True)
    first = [trial for trial in study.trials if trial.fold == 0]
    timings = {trial.arm: study.timing(trial) for trial in first}
    return {
        trial.arm: {stage.label: stage.key for stage in trial.stage.lineage()}
        | {e.label: e.key for e in [examined_by(trial.stage)] if e is not None}
        | ({"timing": timing.key} if (timing := timings[trial.arm]) else {})
        for trial in first
    }


DIGESTS = {
    "paper": "b6508c24d5c5e69f5d61c8175cad57095c327eb22f614e244a679aa3fa48060a",
    "laptop": "cb086095313f1d9fb876e842cae55333f86b237a70623f71574d90386d0b91e9",
}


@pytest.mark.parametrize("preset", DIGESTS)
def test_no_setting_of_a_preset_has_changed(preset):
    """Every field of every section, those that no arm uses included; studies are known by them."""
    assert digest(PRESETS[preset]().model_dump(mode="json")) == DIGESTS[preset]


@pytest.mark.parametrize("preset", ["paper", "laptop"])
def test_no_key_has_changed(preset):
    assert keys(preset) == json.loads(GOLDEN.read_text())[preset]


if __name__ == "__main__":
    told = {preset: keys(preset) for preset in ("paper", "laptop")}
    GOLDEN.write_text(json.dumps(told, indent=1) + "\n")
