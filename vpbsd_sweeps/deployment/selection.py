"""Chooses what a finished study or search settled on: by a stated rule, with its caveats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest, override
from vpbsd.pipeline.crossings import arm_title
from vpbsd.pipeline.recipes import is_reference
from vpbsd.settings import Settings
from vpbsd_sweeps.reporting.checks import unproven
from vpbsd_sweeps.reporting.columns import COLUMNS, HIGHER_IS_BETTER, PRIMARY, sign
from vpbsd_sweeps.reporting.records import TrialResult, trial_result
from vpbsd_sweeps.reporting.rows import spreads_by_metric
from vpbsd_sweeps.reporting.search_tables import held_out_dsc
from vpbsd_sweeps.reporting.significance import Spread
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.normalisation import majority
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.ranking import best

OF_ARMS = (
    "{} mean test {} over folds; full budget only; references, void and unproven arms excluded"
)
BY_NAME = "asked for by name"
OF_TRIALS = "highest mean DSC over folds of a held-out training group; full budget only"


@dataclass(frozen=True)
class Choice:
    """What is trained in the end.

    Attributes:
        arm: Whose student it is.
        settings: Of all its stages.
        scores: Means over folds by metric: an estimate, of other networks than the final one.
        runs: MLflow run ids of the trials behind them.
        rule: How it was chosen.
        optimism: What must be said about its score.
        teacher_seed: Of pre-training and fine-tuning.
        left_out: Arms that could not be chosen, and why.
    """

    arm: str
    settings: Settings
    scores: dict[str, Spread]
    runs: list[str]
    rule: str
    optimism: str
    teacher_seed: int = 0
    left_out: tuple[str, ...] = ()


def choose(
    trials: Sequence[TrialResult], identity: Mapping[str, Any], wanted: str | None = None
) -> Choice:
    """Chooses the best deployable arm of a study with this identity, or the one that is wanted.

    The best is that of the metric that the study declared to decide, or of DSC.
    An unproven arm is chosen only by its name.

    Raises:
        BadInput: No student arm has a valid result in every fold with every seed, or the wanted
            one has not.
    """
    students = [arm for arm in identity["arms"] if not is_reference(arm)]
    if wanted is not None and wanted not in students:
        raise BadInput(
            f"--arm {wanted}: the study has no such student arm{nearest(wanted, students)}"
        )
    primary = str(identity.get("primary", PRIMARY))
    settings = Settings.model_validate(identity["settings"])
    folds = range(settings.protocol.count)
    places = {(fold, seed) for fold in folds for seed in identity["seeds"]}
    ranked, left_out = [], []
    for arm in students if wanted is None else [wanted]:
        own = [t for t in trials if t.arm == arm]
        reason = _cannot_be_chosen(own, places, primary)
        if not reason and wanted is None and unproven(own):
            reason = f"unproven; --arm {arm} takes it all the same"
        if reason:
            left_out.append(f"{arm_title(arm)} ({reason})")
            continue
        scores = {m: by.folds for m, by in spreads_by_metric(own).items()}
        ranked.append((sign(primary) * scores[primary].mean, arm, scores, own))
    if not ranked:
        raise BadInput(
            f"no student arm of the study has a valid result in every fold with every seed "
            f"({', '.join(left_out) or 'only references'}): finish the sweep, or see its table"
        )
    way = "highest" if primary in HIGHER_IS_BETTER else "lowest"
    of_arms = OF_ARMS.format(way, COLUMNS[primary])
    _, arm, scores, own = max(ranked, key=lambda choice: choice[:2])
    optimism = (
        f"chosen as the best of {len(ranked)} arms on these same test folds, so its "
        "score is optimistic by a margin that grows with the number of arms"
    )
    doubt = f"; unproven: {unproven(own)}; L_dis claims nothing" if unproven(own) else ""
    settings, normalised = _by_majority(settings, identity)
    return Choice(
        arm=arm,
        settings=settings,
        scores=scores,
        runs=[t.run_id for t in own],
        rule=(of_arms if wanted is None else BY_NAME + doubt) + normalised,
        optimism=optimism if wanted is None else "none by choice: its arm was asked for by name",
        teacher_seed=identity["teacher_seed"],
        left_out=tuple(left_out),
    )


def _cannot_be_chosen(
    own: Sequence[TrialResult], places: Set[tuple[int, int]], primary: str
) -> str:
    """Says why an arm has no score to be chosen by, or ""."""
    if {(t.fold, t.seed) for t in own if t.counts} != places:
        return "void" if any(t.void for t in own) else "not finished"
    measured = all(t.values.get(primary) for t in own)
    return "" if measured else f"{COLUMNS[primary]} was not measured"


def _by_majority(settings: Settings, identity: Mapping[str, Any]) -> tuple[Settings, str]:
    """Takes over what most folds chose on their training groups, if they chose; says so."""
    choices: dict[str, dict[str, object]] = identity.get("choices", {})
    if not choices:
        return settings, ""
    overrides, count = majority(choices)
    shown = ", ".join(f"{path}={value}" for path, value in overrides.items())
    normalised = f"; normalisation as in {count} of {settings.protocol.count} folds: {shown}"
    return override(settings, overrides), normalised


def choose_trial(journal: Journal, tracker: Tracker) -> Choice:
    """Chooses the best configuration of a search.

    Raises:
        BadInput: No trial is complete.
    """
    ranked, identity = best(journal), journal.identity
    if not ranked or identity is None:
        raise BadInput(f"no trial of search '{journal.name}' is complete: give it more --trials")
    settings, normalised = _by_majority(Settings.model_validate(identity["settings"]), identity)
    first = ranked[0]
    runs = tracker.runs(f"attributes.run_name = 'trial-{first.number}'")
    return Choice(
        arm=identity["arm"],
        settings=override(settings, journal.asked[first.number]),
        scores={PRIMARY: held_out_dsc(first, settings.protocol.count)},
        runs=[run.run_id for run in runs],
        rule=OF_TRIALS + normalised,
        optimism=f"chosen as the best of {len(ranked)} complete trials on these same groups, and "
        "never measured on a test fold: the ablation that the search ends with does that",
    )


def load_choice(
    tracker: Tracker, store: Store, study: str, wanted: str | None = None
) -> tuple[Choice, str]:
    """Chooses from the search or sweep of this name; also returns the fingerprint of its data.

    Raises:
        BadInput: There is neither, or nothing in it can be chosen.
    """
    journal = Journal(store, study)
    if journal.identity is not None:
        if wanted not in (None, journal.identity["arm"]):
            raise BadInput(f"--arm {wanted}: '{study}' searched {journal.identity['arm']} alone")
        return choose_trial(journal, tracker), journal.identity["data"]
    sweep = next(tracker.runs(tag.of_kind(tag.SWEEP_KIND)), None)
    if sweep is None:
        raise BadInput(
            f"'{study}' has no sweep in MLflow and no search in {store.url}: pass the --store "
            "that it was run with"
        )
    identity: dict[str, Any] = json.loads(sweep.tags[tag.STUDY_IDENTITY])
    runs = tracker.runs(tag.of_kind(tag.TRIAL_KIND))
    trials = sorted(map(trial_result, runs), key=lambda trial: trial.place)
    return choose(trials, identity, wanted), identity["data"]
