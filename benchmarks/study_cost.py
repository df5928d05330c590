"""A whole study against every trial on its own: time, and the same rows to the last digit.

    python -m benchmarks.study_cost                      # preset smoke, one fold: minutes
    python -m benchmarks.study_cost --preset laptop --folds 3     # an hour or more

Stages run one after the other in this process, without Ray, store or MLflow, after a trial that
warms up; which side runs a trial first changes from trial to trial. Alone, each trial
trains all its stages; its teacher's targets are stored, which the paper's code would not do
either: what the teacher costs online is measured by `distillation_step`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.pipeline.arms import GROUPS
from vpbsd.pipeline.run import run
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import PRESETS
from vpbsd_sweeps.study.study import Study, Trial


def results(trial: Trial, stored: dict[str, Path], room: Path) -> list[dict[str, float | str]]:
    """Runs what is not stored of a trial; returns the rows of its last stage without times."""
    last: Stage = trial.stage
    for stage in last.lineage():
        if stage.key not in stored:
            out = room / f"{len(list(room.iterdir()))}"
            out.mkdir()
            inputs = {name: stored[above.key] for name, above in stage.upstream.items()}
            list(run(stage.spec, inputs, out))
            stored[stage.key] = out
    rows = json.loads((stored[last.key] / "rows.json").read_text())
    return [{k: v for k, v in row.items() if k != "time"} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="smoke", choices=sorted(PRESETS))
    parser.add_argument("--folds", type=int, default=1, help="of the study that are run")
    given = parser.parse_args()
    torch.set_num_threads(1)
    volumes = list_volumes(phantom_folder(Path("runs")))
    study = Study("cost", PRESETS[given.preset](), volumes, GROUPS["table3"])
    trials = [trial for trial in study.trials if trial.fold < given.folds]
    seconds = {"alone": [0.0, 0.0], "shared": [0.0, 0.0]}
    equal = True
    with TemporaryDirectory() as folder:
        warm, shared = Path(folder, "warm"), dict[str, Path]()
        warm.mkdir()
        results(trials[0], {}, warm)
        for number, trial in enumerate(trials):
            found = []
            for name, stored in (("alone", {}), ("shared", shared))[:: (-1) ** number]:
                room = Path(folder, name if name == "shared" else f"alone{number}")
                room.mkdir(exist_ok=True)
                began = time.perf_counter(), time.process_time()
                found.append(results(trial, stored, room))
                seconds[name][0] += time.perf_counter() - began[0]
                seconds[name][1] += time.process_time() - began[1]
            equal &= found[0] == found[1]
    a, b = seconds["alone"], seconds["shared"]
    print(
        "| study | trials | alone [s] | shared [s] | ratio by the clock (processor) | same rows |"
    )
    print("|---|---|---|---|---|---|")
    ratios = f"{a[0] / b[0]:.1f} ({a[1] / b[1]:.1f})"
    name = f"Table 3, {given.preset}, {given.folds} folds"
    print(f"| {name} | {len(trials)} | {a[0]:.0f} | {b[0]:.0f} | {ratios} | {equal} |")


if __name__ == "__main__":
    main()
