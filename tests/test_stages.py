"""Stages travel as data: what a worker reads is the very stage that was planned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.test_stage_keys import info
from vpbsd.data.folds import Part
from vpbsd.errors import BadInput
from vpbsd.pipeline.arms import ARMS
from vpbsd.pipeline.stages import Stage, StageSpec
from vpbsd.settings import PRESETS
from vpbsd_sweeps.execution.jobs import job_of
from vpbsd_sweeps.study.study import Study


def every_stage(preset: str) -> dict[str, Stage]:
    """All stages of the first fold of all arms, and what stands beside them."""
    volumes = tuple(info(n, labelled=n < 5) for n in range(8))
    study = Study("s", PRESETS[preset](), volumes, tuple(ARMS), (3,), teacher_seed=4, timed=True)
    first = [trial.stage for trial in study.trials if trial.fold == 0]
    stages = [stage for last in first for stage in last.lineage()]
    return {stage.key: stage for stage in [*stages, *study.beside]}


@pytest.mark.parametrize("preset", ["paper", "laptop"])
def test_every_stage_comes_back_from_its_json_as_it_was(preset):
    for stage in every_stage(preset).values():
        again = StageSpec.read(json.dumps(stage.describe()))
        assert again == stage.spec
        assert (again.key, again.family, again.label) == (stage.key, stage.family, stage.label)


def test_a_job_carries_nothing_but_text():
    stage = next(s for s in every_stage("laptop").values() if s.family == "student")
    job = job_of(stage)
    assert job.runner == "vpbsd.pipeline.run:run_json"
    assert StageSpec.read(job.stage) == stage.spec
    assert job.upstream == {name: above.key for name, above in stage.upstream.items()}


def test_a_volume_of_any_kind_comes_back_whole():
    volume = replace(info(3, labelled=False), channel="WGA", spacing_um=None)
    spec = StageSpec(any_config(), {"unlabelled": (Part(volume, ((0, 9), (2, 64), (1, 70))),)}, {})
    (part,) = StageSpec.read(json.dumps(spec.describe())).parts["unlabelled"]
    assert part == spec.parts["unlabelled"][0]
    assert isinstance(part.box[0], tuple)


def test_another_version_of_the_code_is_refused_by_the_key():
    told = spec().describe() | {"key": "0" * 64}
    with pytest.raises(BadInput, match="000000000000 .* another version of the code"):
        StageSpec.read(json.dumps(told))


@pytest.mark.parametrize(
    "broken",
    [
        "not json",
        "[]",
        json.dumps({"key": "0"}),
        lambda told: told["config"].update(beta=1),
        lambda told: told["volumes"]["unlabelled"][0].pop("path"),
        lambda told: told["volumes"]["unlabelled"][0].update(box=[[0, 1]]),
    ],
    ids=["text", "list", "empty", "unknown field", "older version", "box"],
)
def test_what_is_no_stage_is_refused_in_one_line(broken):
    text = broken
    if callable(broken):
        told = json.loads(json.dumps(spec().describe()))
        broken(told)
        text = json.dumps(told)
    with pytest.raises(BadInput, match="no stage that this version can run") as error:
        StageSpec.read(text)
    assert "\n" not in str(error.value)


def any_config():
    return next(s for s in every_stage("laptop").values() if s.family == "pre-training").config


def spec() -> StageSpec:
    return next(s for s in every_stage("laptop").values() if s.family == "pre-training").spec
