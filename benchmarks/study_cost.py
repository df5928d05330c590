"""Table 3 as a study against every trial on its own: time, and the same rows to the last digit.

    python -m benchmarks.study_cost              # .06 of the steps of laptop: some minutes
    python -m benchmarks.study_cost --share 1    # all of them: an hour or more

Alone, each trial trains all that it rests on, and its student asks the frozen teacher online, for
each patch of each batch. That happens in the thread that draws batches ahead, so that by the clock
a second core hides some of it; processor time hides nothing. Together, each stage runs once, and
students read stored targets. Stages run one after the other in this process, without Ray, store or
MLflow, after a trial that warms up; which side runs a trial first changes from trial to trial.

Volumes are those of the preset `smoke`, a patch each: in so few steps a patch is drawn about as
often as by `laptop` on its own volumes. Evaluations, which nothing shares, and what is done once at
the end of a training weigh more than there; so the ratio is below that of the whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.networks.build import load_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.overrides import override
from vpbsd.pipeline import run_train
from vpbsd.pipeline.arms import GROUPS
from vpbsd.pipeline.run import run
from vpbsd.pipeline.stage_config import Targets
from vpbsd.pipeline.stages import Stage
from vpbsd.pipeline.steps import patch_set
from vpbsd.pipeline.targets import StoredTargets, compute_targets
from vpbsd.settings import Settings, laptop
from vpbsd_sweeps.study.study import Study

Rows = list[dict[str, float | str]]
TARGETS = "targets"  # the family whose stages a trial alone does not run


class Online:
    """A teacher that is asked for each patch that is drawn; as `StoredTargets`, nothing stored."""

    def __init__(self, folder: Path, field: str) -> None:
        stage, teacher = Online.asked[folder]
        ((role, parts),) = stage.parts.items()
        config = stage.config
        assert isinstance(config, Targets)
        assert not config.turned, "no arm of the table has codes of turned patches"
        assert not config.random_codes, "nor random ones"
        self.patches, self.field = patch_set(parts, role, config), field
        network = load_network(teacher)
        assert isinstance(network, SwinTeacher)
        self.teacher = network

    asked: Mapping[Path, tuple[Stage, Path]] = {}
    """Folder in place of a result -> the stage of targets, and the teacher's folder."""

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Computes the target of patch i."""
        image = torch.from_numpy(self.patches.image(i))[None, None]
        said = compute_targets(self.teacher, image, self.field)[0]
        return np.asarray(said.numpy(), np.float32)


class Side:
    """A way to run trials: what it has stored so far, and seconds by family of stage.

    Args:
        room: Of its results.
        online: Whether students ask their teacher; then each trial begins anew.
    """

    def __init__(self, room: Path, *, online: bool) -> None:
        room.mkdir()
        self.room, self.online = room, online
        self.stored: dict[str, Path] = {}
        self.asked: dict[Path, tuple[Stage, Path]] = {}
        self.clock: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    def __str__(self) -> str:
        """Says what it took so far."""
        clock, processor = (sum(s.values()) for s in (self.clock, self.processor))
        name = "alone" if self.online else "shared"
        return f"{name} {clock:.0f} s ({processor:.0f} s of processor time)"

    def rows(self, last: Stage) -> Rows:
        """Runs what a trial still needs; returns the rows of its last stage, without times."""
        if self.online:
            self.stored = {}
        for stage in last.lineage():
            if stage.key not in self.stored:
                self.stored[stage.key] = self._run(stage)
        rows = json.loads((self.stored[last.key] / "rows.json").read_text())
        return [{k: v for k, v in row.items() if k != "time"} for row in rows]

    def _run(self, stage: Stage) -> Path:
        out = self.room / str(len(list(self.room.iterdir())))
        out.mkdir()
        if self.online and stage.family == TARGETS:
            self.asked[out] = (stage, self.stored[stage.upstream["teacher"].key])
            return out
        inputs = {name: self.stored[above.key] for name, above in stage.upstream.items()}
        Online.asked = self.asked
        run_train.StoredTargets = Online if self.online else StoredTargets  # type: ignore[misc]
        run_train.are_turned = lambda folder: False
        began = time.perf_counter(), time.process_time()
        list(run(stage.spec, inputs, out))
        self.clock[stage.family] += time.perf_counter() - began[0]
        self.processor[stage.family] += time.process_time() - began[1]
        return out


def shortened(settings: Settings, share: float) -> Settings:
    """Cuts budgets to a share of their steps, and the codebook to what can start in so few."""
    changes: dict[str, object] = {
        "student.ramp_epochs": max(1, round(share * settings.student.ramp_epochs)),
        "pretrain.network.codebook.size": 4,
        "pretrain.network.codebook.warm": 0.5,
    }
    for path, optim in (
        ("pretrain.optim", settings.pretrain.optim),
        ("finetune", settings.finetune),
        ("student.optim", settings.student.optim),
    ):
        assert optim.steps_per_epoch is not None
        epochs = max(2, round(share * optim.epochs))
        steps = share * optim.epochs * optim.steps_per_epoch / epochs
        changes |= {f"{path}.epochs": epochs, f"{path}.steps_per_epoch": max(1, round(steps))}
    return override(settings, changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.06, help="of the steps (default .06)")
    parser.add_argument("--folds", type=int, default=3, help="that are run (default 3)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    volumes = list_volumes(phantom_folder(Path("runs"), small=True))
    study = Study("cost", shortened(laptop(), given.share), volumes, GROUPS["table3"])
    trials = [trial for trial in study.trials if trial.fold < given.folds]
    equal = True
    with TemporaryDirectory() as folder:
        say(f"{len(trials)} trials, and one that warms up")
        Side(Path(folder, "warm"), online=False).rows(trials[0].stage)
        alone = Side(Path(folder, "alone"), online=True)
        shared = Side(Path(folder, "shared"), online=False)
        for number, trial in enumerate(trials, start=1):
            found = [side.rows(trial.stage) for side in (alone, shared)[:: (-1) ** number]]
            equal &= found[0] == found[1]
            where = f"{number} of {len(trials)} trials, {trial.arm} of fold {trial.fold}"
            say(f"{where}: {alone}, {shared}")
    report(alone, shared, f"Table 3, {given.folds} folds, {len(trials)} trials", equal)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report(alone: Side, shared: Side, name: str, equal: bool) -> None:
    """Prints seconds of both sides and their ratio, of the whole and by family."""
    print("| what | alone [s] | shared [s] | ratio by the clock (processor) | same rows |")
    print("|---|---|---|---|---|")
    a, b = (sum(side.clock.values()) for side in (alone, shared))
    c, d = (sum(side.processor.values()) for side in (alone, shared))
    print(f"| {name} | {a:.0f} | {b:.0f} | {a / b:.1f} ({c / d:.1f}) | {equal} |")
    for family in shared.clock:
        print(f"| ... {family} | {alone.clock[family]:.0f} | {shared.clock[family]:.0f} | | |")


if __name__ == "__main__":
    main()
