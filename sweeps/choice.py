"""What a finished study or search settled on: by a stated rule, with what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sweeps.journal import Journal
from sweeps.search_report import best, cell_of
from sweeps.tables import Cell, TrialResult, cell
from sweeps.tracking import Tracker
from vpbsd.arms import TITLES
from vpbsd.config import override
from vpbsd.errors import BadInput
from vpbsd.recipes import REFERENCES
from vpbsd.settings import Settings
from vpbsd.stages import Stage

OF_ARMS = "highest mean test DSC over folds; full budget only; references and void arms excluded"
OF_TRIALS = "highest mean DSC over folds of a held-out training group; full budget only"


@dataclass(frozen=True)
class Choice:
    """What is trained in the end.

    Attributes:
        arm: Whose student it is.
        settings: Of all its stages.
        scores: Its cells by metric: an estimate, of other networks than the final one.
        runs: MLflow run ids of the trials behind them.
        rule: How it was chosen.
        optimism: What must be said about its score.
        teacher_seed: Of pre-training and fine-tuning.
        left_out: Arms that could not be chosen, and why.
    """

    arm: str
    settings: Settings
    scores: dict[str, Cell]
    runs: list[str]
    rule: str
    optimism: str
    teacher_seed: int = 0
    left_out: tuple[str, ...] = ()


def choose(trials: list[TrialResult], facts: dict[str, Any]) -> Choice:
    """The best deployable arm of a study with these facts.

    Raises:
        BadInput: No student arm has a valid result in every fold with every seed.
    """
    settings = Settings.model_validate(facts["settings"])
    folds = range(settings.protocol.folds)
    wanted = {(fold, seed) for fold in folds for seed in facts["seeds"]}
    ranked, left_out = [], []
    for arm in (arm for arm in facts["arms"] if arm not in REFERENCES):
        own = [t for t in trials if t.arm == arm]
        if {(t.fold, t.seed) for t in own if t.counts} == wanted:
            ranked.append((cell(own, "dsc").mean, arm, own))
        else:
            void = any(t.void for t in own)
            left_out.append(f"{TITLES[arm]} ({'void' if void else 'not finished'})")
    if not ranked:
        raise BadInput(
            f"no student arm of the study has a valid result in every fold with every seed "
            f"({', '.join(left_out) or 'only references'}): finish the sweep, or see its table"
        )
    _, arm, own = max(ranked)
    return Choice(
        arm=arm,
        settings=settings,
        scores={metric: cell(own, metric) for metric in sorted(own[0].values)},
        runs=[t.run_id for t in own],
        rule=OF_ARMS,
        optimism=f"chosen as the best of {len(ranked)} arms on these same test folds, so its "
        "score is optimistic by a margin that grows with the number of arms",
        teacher_seed=facts["teacher_seed"],
        left_out=tuple(left_out),
    )


def choose_trial(journal: Journal, tracker: Tracker) -> Choice:
    """The best configuration of a search.

    Raises:
        BadInput: No trial is complete.
    """
    ranked, facts = best(journal), journal.facts
    if not ranked or facts is None:
        raise BadInput(f"no trial of search '{journal.name}' is complete: give it more --trials")
    settings = Settings.model_validate(facts["settings"])
    first = ranked[0]
    runs = tracker.runs(f"attributes.run_name = 'trial-{first.number}'")
    return Choice(
        arm=facts["arm"],
        settings=override(settings, journal.asked[first.number]),
        scores={"dsc": cell_of(first, settings.protocol.folds)},
        runs=[run.info.run_id for run in runs],
        rule=OF_TRIALS,
        optimism=f"chosen as the best of {len(ranked)} complete trials on these same groups, and "
        "never measured on a test fold: the ablation that the search ends with does that",
    )


def card(study: str, choice: Choice, student: Stage) -> str:
    """The model card, in Markdown."""
    parts = student.parts["labelled"]
    numbers = "\n".join(f"| {name} | {score} |" for name, score in choice.scores.items())
    left_out = ", ".join(choice.left_out) or "none"
    return (
        f"# {study}: {TITLES[choice.arm]}\n\n"
        f"Light UNet student for vessel segmentation in 3-D microscopy, trained on all "
        f"{len({p.volume.name for p in parts})} labelled volumes of "
        f"{len({p.volume.group for p in parts})} groups.\n\n"
        f"- Selection rule: {choice.rule}.\n"
        f"- Could not be chosen: {left_out}.\n"
        f"- Optimism: {choice.optimism}.\n"
        f"- The numbers below are the study's cross-validated ones, the estimate of what this "
        f"model does on new volumes of the same kind; this very network was not tested on them.\n"
        f"- Student stage {student.key}, seed {student.seed}.\n"
        f"- Trials: {', '.join(choice.runs)}.\n\n"
        f"| metric | mean ± sd over folds |\n|---|---|\n{numbers}\n"
    )
