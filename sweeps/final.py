"""Final training: the best student configuration of a finished study, on all labelled volumes.

    python sweeps/final.py --study NAME
    python sweeps/final.py --study NAME --data DIR --holdout VOLUME

The arm with the highest mean test DSC over folds is taken, never a reference or a void arm. Stored
stages are reused; running the same command again goes on, or finds that nothing is left to do.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from sweeps.arguments import RUNS, add_places, volumes_of
from sweeps.plan import take_stock
from sweeps.store import Store
from sweeps.study import data_fingerprint
from sweeps.tables import Cell, TrialResult, cell, parent_tags, trial_results
from sweeps.tracking import Tracker, open_tracker
from vpbsd.arms import TITLES
from vpbsd.command import Parser, answer
from vpbsd.config import nearest
from vpbsd.data.folds import Fold, everything
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.recipes import REFERENCES, deliverable
from vpbsd.settings import Settings
from vpbsd.stages import Evaluate, Stage

RULE = "highest mean test DSC over folds; full budget only; references and void arms excluded"


@dataclass(frozen=True)
class Choice:
    """What a study settled on.

    Attributes:
        arm: The winner.
        scores: Its cross-validated cells by metric.
        runs: MLflow run ids of the trials behind them.
        optimism: What must be said about its score.
    """

    arm: str
    scores: dict[str, Cell]
    runs: list[str]
    optimism: str


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True, metavar="NAME", help="a finished study")
    add_places(parser)
    parser.add_argument(
        "--holdout",
        nargs="+",
        default=[],
        metavar="VOLUME",
        help="labelled volumes kept out of all training, and evaluated at the end",
    )
    parser.add_argument("--seed", type=int, default=0, help="student seed (default 0)")
    parser.add_argument("--out", metavar="DIR", help=f"model folder (default {RUNS}/models/STUDY)")
    parser.add_argument("--cpus", type=int, metavar="N", help="cores of a local Ray")
    return parser.parse_args()


def main() -> int:
    """Chooses, trains what is not stored, registers, writes the model folder."""
    args = arguments()
    tracker = open_tracker(args.tracking, args.study)
    choice = choose(trial_results(tracker))
    tags = parent_tags(tracker)
    facts = json.loads(tags["vpbsd.facts"])
    settings = Settings.model_validate(facts["settings"])
    volumes = volumes_of(args)
    _refuse_other_data(facts["data"], volumes, args.study)
    fold = everything(volumes, settings.protocol, _holdout(args.holdout, volumes))
    student = deliverable(settings, choice.arm, fold, args.seed, facts["teacher_seed"])
    store = Store(args.store)
    store.check_writable()
    print(f"chosen: {TITLES[choice.arm]}, DSC {choice.scores['dsc']} ({RULE})")
    last = _last_stage(settings, fold, student)
    _train(last, f"{args.study}-final", store, args.cpus)
    out = Path(args.out or Path(RUNS) / "models" / args.study)
    _export(student, last, store, settings, choice, out)
    version = _register(tracker, args.study, choice, student, out)
    print(f"registered as model '{args.study}' version {version}; files in {out}")
    print(f"segment a volume: python -m vpbsd segment {out} VOLUME.ome.zarr MASK.ome.zarr")
    return 0


def choose(trials: list[TrialResult]) -> Choice:
    """The best deployable arm by the rule.

    Raises:
        BadInput: No student arm has a result in every fold.
    """
    folds = {t.fold for t in trials}
    ranked = []
    for arm in {t.arm for t in trials} - REFERENCES.keys():
        own = [t for t in trials if t.arm == arm]
        if all(t.counts for t in own) and {t.fold for t in own} == folds:
            ranked.append((cell(own, "dsc").mean, arm, own))
    if not ranked:
        raise BadInput(
            "no student arm of the study has a valid result in every fold: finish the sweep, or "
            "see its table for what is void"
        )
    _, arm, own = max(ranked)
    metrics = sorted(own[0].values)
    optimism = (
        f"chosen as the best of {len(ranked)} arms on these same test folds, so its score is "
        "optimistic by a margin that grows with the number of arms"
    )
    return Choice(arm, {m: cell(own, m) for m in metrics}, [t.run_id for t in own], optimism)


def card(study: str, choice: Choice, student: Stage) -> str:
    """The model card, in Markdown."""
    parts = student.parts["labelled"]
    numbers = "\n".join(f"| {name} | {score} |" for name, score in choice.scores.items())
    return (
        f"# {study}: {TITLES[choice.arm]}\n\n"
        f"Light UNet student for vessel segmentation in 3-D microscopy, trained on all "
        f"{len({p.volume.name for p in parts})} labelled volumes of "
        f"{len({p.volume.group for p in parts})} groups.\n\n"
        f"- Selection rule: {RULE}.\n"
        f"- Optimism: {choice.optimism}.\n"
        f"- The numbers below are the study's cross-validated ones, the estimate of what this "
        f"model does on new volumes of the same kind; this very network was not tested on them.\n"
        f"- Student stage {student.key}; trials: {', '.join(choice.runs)}.\n\n"
        f"| metric | mean ± sd over folds |\n|---|---|\n{numbers}\n"
    )


def _refuse_other_data(told: str, volumes: tuple[VolumeInfo, ...], study: str) -> None:
    if data_fingerprint(volumes) != told:
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
    """The student, or its evaluation on what was held out."""
    if not fold.test:
        return student
    config = Evaluate(data=settings.data, precision=settings.precision)
    return Stage(config, {"test": fold.test}, {"network": student}, 0, "evaluate final student")


def _train(last: Stage, name: str, store: Store, cpus: int | None) -> None:
    """Runs what is not stored; a stage that fails ends the program with its reason."""
    stock = take_stock(name, last.lineage(), store)
    print(f"{len(stock.stages)} stages, {len(stock.stages) - len(stock.missing)} of them stored")
    if not stock.missing:
        return
    from sweeps import capacity, cluster
    from sweeps.progress import Display
    from sweeps.tickets import Order, ticket

    order = Order("final", tuple(ticket(s) for s in last.lineage()))
    cluster.connect(cpus)
    slices, _ = capacity.offered()
    with Display(stock, 1) as display:
        ran = cluster.run_trials([order], store, slices, 1, display.show)
    outcome, reason = ran["final"]
    if outcome == "interrupted":
        raise KeyboardInterrupt
    if outcome == "failed":
        raise BadInput(f"final training stopped: {reason}")


def _export(
    student: Stage, last: Stage, store: Store, settings: Settings, choice: Choice, out: Path
) -> None:
    """Weights, config, card and, if volumes were held out, what was measured on them."""
    import shutil

    from vpbsd.segment import write_settings

    out.mkdir(parents=True, exist_ok=True)
    folder = store.open(student.key)
    for name in ("weights.safetensors", "network.json", "stage.json"):
        shutil.copyfile(folder / name, out / name)
    write_settings(out, settings.data.patch, settings.data.clip_percentile)
    (out / "card.md").write_text(card(out.name, choice, student))
    if last is not student:
        rows = (store.open(last.key) / "rows.json").read_text()
        (out / "holdout.json").write_text(rows)
        for row in json.loads(rows):
            print(f"held out: {row['volume']} DSC {row['dsc']:.3f}")


def _register(tracker: Tracker, study: str, choice: Choice, student: Stage, out: Path) -> str:
    """A model version, once per student stage."""
    scores = {name: c.mean for name, c in choice.scores.items() if c.folds}
    tags = {"vpbsd.stage": student.key, "vpbsd.arm": choice.arm, "vpbsd.rule": RULE}
    return tracker.register(study, out, scores, tags)


if __name__ == "__main__":
    answer(main)
