"""Final training: the best student configuration of a finished study, on all labelled volumes.

    vpbsd final --study NAME
    vpbsd final --study NAME --seeds 0,1,2 --gpus 2
    vpbsd final --study NAME --data DIR --holdout VOLUME

The arm with the best mean over folds (test DSC, or what --primary declared) is taken, never a
reference, a void or an unfinished arm; an unproven one (it learned code words that carry nothing)
only if --arm names it.
Of a search, the complete trial with the highest objective is taken. Where --normalise auto chose
the normalisation per fold, what most folds chose is taken, and said. Stored stages are reused;
running the same command again goes on, or finds that nothing is left to do.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from vpbsd.cli import command_parser, invocation
from vpbsd.data.folds import Fold, final_split
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.recipes import deliverable
from vpbsd.pipeline.stage_config import Evaluate
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import Settings
from vpbsd_sweeps.cli.options import RUNS, add_places, seeds_of, study_argument, volumes_of
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.identity import data_fingerprint


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("final", __doc__)
    parser.add_argument(
        "--study", type=study_argument, required=True, metavar="NAME", help="a finished study"
    )
    parser.add_argument(
        "--arm", metavar="ARM", help="deliver this arm's student, not that of the best arm"
    )
    add_places(parser)
    parser.add_argument(
        "--holdout",
        nargs="+",
        default=[],
        metavar="VOLUME",
        help="labelled volumes kept out of all training, and evaluated at the end",
    )
    parser.add_argument(
        "--seeds", default="0", metavar="0,1", help="a student of each, side by side (default 0)"
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="take at most so many GPUs of the cluster at a time; pre-training takes them all",
    )
    parser.add_argument("--out", metavar="DIR", help=f"model folder (default {RUNS}/models/STUDY)")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    return parser.parse_args()


def main() -> int:
    """Chooses, trains what is not stored, registers, writes a model folder per seed."""
    args = arguments()
    store, seeds = Store(args.store), seeds_of(args.seeds)
    if args.gpus is not None and args.gpus < 1:
        raise BadInput(f"--gpus {args.gpus}: give 1 or more, or leave it out")
    from vpbsd_sweeps.deployment.export import export_student, register_student
    from vpbsd_sweeps.deployment.selection import load_choice
    from vpbsd_sweeps.drivers.final import train
    from vpbsd_sweeps.tracking.tracker import open_tracker

    tracker = open_tracker(args.tracking, args.study)
    store.files.check_writable()
    with study_lock(args.study, store):
        choice, data = load_choice(tracker, store, args.study, args.arm)
        volumes = volumes_of(args)
        _refuse_other_data(data, volumes, args.study)
        holdout = _holdout(args.holdout, volumes)
        fold = final_split(volumes, choice.settings.protocol, holdout)
        print(f"chosen: {arm_title(choice.arm)}, DSC {choice.scores['dsc']} ({choice.rule})")
        if choice.left_out:
            print(f"could not be chosen: {', '.join(choice.left_out)}")
        students = [
            deliverable(choice.settings, choice.arm, fold, seed, choice.teacher_seed)
            for seed in seeds
        ]
        lasts = [_last_stage(choice.settings, fold, student) for student in students]
        train(args.study, lasts, store, args.cpus, args.gpus)
        for student in students:
            out = Path(args.out or Path(RUNS) / "models" / args.study)
            out = out / f"seed{student.seed}" if len(seeds) > 1 else out
            last = _last_stage(choice.settings, fold, student)
            export_student(student, last, store, choice, out)
            register_student(tracker, args.study, choice, student, out)
    model = shlex.quote(str(out))
    print(f"next     {invocation('segment')} {model} VOLUME.ome.zarr MASK.ome.zarr")
    return 0


def _refuse_other_data(fingerprint: str, volumes: tuple[VolumeInfo, ...], study: str) -> None:
    if data_fingerprint(volumes) != fingerprint:
        raise BadInput(
            f"study '{study}' was run on other volumes than these: pass the --data it was run on"
        )


def _holdout(names: list[str], volumes: tuple[VolumeInfo, ...]) -> set[str]:
    known = [v.name for v in volumes if v.labelled]
    for name in names:
        if name not in known:
            raise BadInput(f"--holdout {name}: no such labelled volume{nearest(name, known)}")
    return set(names)


def _last_stage(settings: Settings, fold: Fold, student: Stage) -> Stage:
    """Returns the student, or its evaluation on what was held out."""
    if not fold.test:
        return student
    config = Evaluate(
        data=settings.data, precision=settings.precision, stride=settings.protocol.stride
    )
    return Stage(config, {"test": fold.test}, {"network": student}, 0, "evaluate final student")
