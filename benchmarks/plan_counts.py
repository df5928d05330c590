"""GPU-hours of whole studies at paper scale, as `--plan` counts them: naive against shared.

    python -m benchmarks.plan_counts                  # nothing is trained, no data are needed

Naive: each trial trains all its stages, and its student's teacher is online: a forward pass for
each patch of each step in place of stored targets. Shared: each stage once, by its key. Costs are
the guesses of `vpbsd_sweeps/study/costs.py`, shares of a GPU those of ON_GPUS.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable

from tests.facts import animal
from vpbsd.data.volumes import VolumeInfo
from vpbsd.pipeline.arms import GROUPS
from vpbsd.pipeline.stage_config import Targets, Train
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import PRESETS
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.study.costs import (
    FORWARD_SHARE,
    VOXELS,
    count_patches,
    guess,
    step_seconds,
)
from vpbsd_sweeps.study.plan import GPU_IN_CORES
from vpbsd_sweeps.study.study import Study

SHAPE = (50, 500, 500)
PAPER_TABLES = ("table3", "alignment", "table1", "extras")


def volumes(labelled: int, unlabelled: int) -> tuple[VolumeInfo, ...]:
    """Volumes of the paper's size, each of an animal of its own; nobody has to write them."""
    return tuple(
        animal(number, SHAPE, labelled=number < labelled)
        for number in range(labelled + unlabelled)
    )


def hours(stages: Iterable[Stage]) -> float:
    """GPU-hours of some stages."""
    seconds = sum(ON_GPUS[stage.family].gpus * guess(stage) for stage in stages)
    return seconds / 3600 / GPU_IN_CORES


def naive(trial: Stage) -> float:
    """GPU-hours of a trial that trains all it rests on, its teacher online."""
    own = [stage for stage in trial.lineage() if not isinstance(stage.config, Targets)]
    return hours(own) + sum(online(stage) for stage in own)


def online(stage: Stage) -> float:
    """GPU-hours of the teacher's forward passes while a student is trained."""
    teachers = {
        role: above.upstream["teacher"].config
        for name, above in stage.upstream.items()
        if isinstance(above.config, Targets)
        for role in above.parts
    }
    if not isinstance(stage.config, Train) or not teachers:
        return 0.0
    optim = stage.config.optim
    steps = optim.steps_per_epoch or count_patches(stage) / optim.batch
    scale = math.prod(stage.config.data.patch) / VOXELS
    seconds = 0.0
    for teacher in teachers.values():
        assert isinstance(teacher, Train)
        forward = FORWARD_SHARE * scale * step_seconds(teacher.method.network)
        seconds += steps * len(optim.span) * optim.batch * forward
    return ON_GPUS[stage.family].gpus * seconds / 3600 / GPU_IN_CORES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper", choices=sorted(PRESETS))
    parser.add_argument("--labelled", type=int, default=12, help="volumes")
    parser.add_argument("--unlabelled", type=int, default=12, help="volumes")
    given = parser.parse_args()
    data, settings = volumes(given.labelled, given.unlabelled), PRESETS[given.preset]()
    print("| study | trials | stages run | unique | naive [GPU-h] | ours | ratio | aim |")
    print("|---|---|---|---|---|---|---|---|")
    all_tables = tuple(dict.fromkeys(arm for name in PAPER_TABLES for arm in GROUPS[name]))
    for name, arms, seeds, aim in (
        ("Table 3", GROUPS["table3"], (0,), 24),
        ("all tables of the paper, 3 seeds", all_tables, (0, 1, 2), 25),
    ):
        study = Study("counted", settings, data, arms, seeds)
        trials = [trial.stage for trial in study.trials]
        runs = [stage for trial in trials for stage in trial.lineage()]
        unique = {stage.key: stage for stage in runs}
        a, b = sum(map(naive, trials)), hours(unique.values())
        sizes = f"{len(study.folds)} folds | {len(trials)} | {len(runs)} | {len(unique)}"
        print(f"| {name}, {sizes} | {a:.0f} | {b:.1f} | {a / b:.1f} | {aim} |")
        for family in ON_GPUS:
            own = [stage for stage in unique.values() if stage.family == family]
            if own:
                print(f"| ... {family} | | | {len(own)} | | {hours(own):.1f} | | |")


if __name__ == "__main__":
    main()
