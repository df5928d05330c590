"""What must not slip into a table: unfinished studies, void arms, rows that differ in more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.recipes import is_reference
from vpbsd_sweeps.reporting.records import StudyRecords, TrialResult

TOOLS = ("python", "torch", "monai", "numpy")
BUDGET = ("optim.epochs", "optim.steps_per_epoch", "optim.batch")
INPUTS = {"data.patch": "", "data.clip_percentile": "", "data.intensity": "percentile"}
"""Setting -> what a stage without it was run under: its default, where it came later."""
Conditions = dict[str, frozenset[str]]


def require_finished(records: StudyRecords) -> None:
    """Refuses a study with trials still to come.

    Raises:
        BadInput: Some trial has not ended; they are named, and whether MLflow lost them.
    """
    if not records.missing:
        return
    names = ["{}-fold{}-seed{}".format(*place) for place in records.missing]
    gone = [name for name in names if name in records.deleted]
    deleted = f" ({', '.join(gone)} deleted in MLflow)" if gone else ""
    raise BadInput(
        f"study '{records.study}' is not finished: {len(names)} of "
        f"{len(names) + len(records.trials)} trials miss: {', '.join(names)}{deleted}; "
        "run the sweep again, or pass --partial"
    )


def choose_baseline(records: StudyRecords, wanted: str | None) -> str:
    """Chooses the arm that others are compared with: the wanted, else the Light UNet, else first.

    Raises:
        BadInput: No such arm in the study.
    """
    if wanted is None:
        return "light_unet" if "light_unet" in records.arms else records.arms[0]
    if wanted not in records.arms:
        raise BadInput(
            f"--baseline {wanted}: the study has no such arm{nearest(wanted, records.arms)}"
        )
    return wanted


def exclusions(records: StudyRecords) -> dict[str, str]:
    """Maps each arm that is left out of all averages to the reason."""
    reasons = {arm: left_out(records.of_arm(arm)) for arm in records.arms}
    return {arm: reason for arm, reason in reasons.items() if reason}


def left_out(trials: Sequence[TrialResult]) -> str:
    """Says why an arm is left out of averages, ranks and marks; "" if it is not.

    One void or failed trial is enough: the mean of the folds that happened to work is another
    quantity than that of its neighbours in the table, and flatters.
    """
    if not trials:
        return "no trial has ended"
    lost = [t for t in trials if not t.counts]
    return _by_reason((f"VOID: {t.void}" if t.void else t.status.lower(), t) for t in lost)


def remarks(trials: Sequence[TrialResult]) -> str:
    """Says what is to be known of an arm's trials though they count, or ""."""
    return _by_reason((t.note, t) for t in trials if t.counts and t.note)


def unproven(trials: Sequence[TrialResult]) -> str:
    """Says why an arm that counts is never the best, or ""; one such trial is enough."""
    return _by_reason((t.unproven, t) for t in trials if t.counts and t.unproven)


def incomplete(records: StudyRecords) -> dict[str, str]:
    """Maps arms of which trials miss to how many there are; for partial reports."""
    lacking = [place[0] for place in records.missing]
    return {
        arm: f"{len(records.of_arm(arm))} of {len(records.of_arm(arm)) + lacking.count(arm)} "
        "trials so far"
        for arm in records.arms
        if arm in lacking
    }


def flags(records: StudyRecords, baseline: str) -> dict[str, list[str]]:
    """Maps arms to what else than the ablated factor sets their runs apart from the baseline's."""
    standard = conditions(records, baseline)
    found = {
        arm: list(_differing(conditions(records, arm), standard))
        for arm in records.arms
        if arm != baseline
    }
    return {arm: differing for arm, differing in found.items() if differing}


def conditions(records: StudyRecords, arm: str) -> Conditions:
    """Maps each condition that an arm was run under to all the values that its runs had.

    Conditions are code, tools, device and precision of all its stages; budget of the last
    training; data; seeds.
    """
    trials = records.of_arm(arm)
    stages = {s.run_id: s for t in trials for s in records.lineage(t)}.values()
    found = {
        "commit": {s.tags["commit"] for s in stages if "commit" in s.tags},
        "device": {s.tags["device"] for s in stages if "device" in s.tags},
        "precision": {s.params["precision"] for s in stages if "precision" in s.params},
        **{tool: {s.tags[tool] for s in stages if tool in s.tags} for tool in TOOLS},
        **_inputs(records, trials),
        "budget": {_budget(records, t) for t in trials},
        "test volumes": {f"fold {t.fold}: {v}" for t in trials for v in sorted(t.groups)},
    }
    if not is_reference(arm):
        found["seeds"] = {str(t.seed) for t in trials}
    return {name: frozenset(v - {""}) for name, v in found.items()}


def mixed(records: StudyRecords) -> list[str]:
    """Lists what differs between the stages of the study, for the head of a report."""
    stages = [records.stages[key] for key in sorted(records.stages)]
    lines = []
    for name in ("commit", "device", *TOOLS):
        values = sorted({s.tags[name] for s in stages if name in s.tags})
        if len(values) > 1:
            lines.append(
                f"stages of this study ran under {len(values)} of {name}: " + ", ".join(values)
            )
    if any("+" in s.tags.get("commit", "") for s in stages):
        lines.append("a commit with + had changed files: its code cannot be had back from git")
    return lines


def notices(records: StudyRecords) -> list[str]:
    """Lists everything about the study's runs that a reader must know, one line each."""
    lines = mixed(records)
    for t in records.duplicates:
        lines.append(
            f"trial {t.name} ended more than once: run {t.run_id} is not used, a newer one is"
        )
    lines += [f"{t.name} counts, but {t.note}" for t in records.trials if t.note]
    kept = {t.name for t in records.trials}
    lines += [
        f"trial {name} was deleted in MLflow" for name in records.deleted if name not in kept
    ]
    return lines


def _inputs(records: StudyRecords, trials: Sequence[TrialResult]) -> dict[str, set[str]]:
    """Collects how data were read: per fold where that was chosen per fold, for all arms alike."""
    by_fold, found = "choices" in records.identity, defaultdict[str, set[str]](set)
    for trial in trials:
        for stage, (name, default) in product(records.lineage(trial), INPUTS.items()):
            if "data.patch" in stage.params:
                place = f"{name} in fold {trial.fold}" if by_fold else name
                found[place].add(stage.params.get(name, default))
    return found


def _by_reason(lost: Iterable[tuple[str, TrialResult]]) -> str:
    names: dict[str, list[str]] = {}
    for reason, trial in lost:
        names.setdefault(reason, []).append(f"fold {trial.fold} seed {trial.seed}")
    return "; ".join(f"{reason} ({', '.join(trials)})" for reason, trials in names.items())


def _budget(records: StudyRecords, trial: TrialResult) -> str:
    stage = records.trained(trial)
    if stage is None:
        return ""
    return ", ".join(f"{name.removeprefix('optim.')} {stage.params.get(name)}" for name in BUDGET)


def _differing(ours: Conditions, standard: Conditions) -> Iterator[str]:
    for name, values in ours.items():
        theirs = standard.get(name, frozenset())
        if values and theirs and values != theirs:
            yield f"{name}: {_listed(values, theirs)} (baseline {_listed(theirs, values)})"


def _listed(values: frozenset[str], others: frozenset[str]) -> str:
    """Lists what one side has alone; where it has nothing alone, all that it has."""
    return " | ".join(sorted(values - others) or sorted(values))
