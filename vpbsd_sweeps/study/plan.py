"""What a study will train, what is stored already, and what it will cost; before anything runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vpbsd.data.remarks import remarks
from vpbsd.errors import BadInput
from vpbsd.pipeline.stage_config import External
from vpbsd.pipeline.stages import Family, Stage
from vpbsd_sweeps.execution.slices import ON_GPUS
from vpbsd_sweeps.store.results import State, Store
from vpbsd_sweeps.study.growth import IDENTITY, grown, growth
from vpbsd_sweeps.study.inventory import FAMILIES, Inventory, look_up
from vpbsd_sweeps.study.memory import proposals
from vpbsd_sweeps.study.places import stage_places
from vpbsd_sweeps.study.study import Study, Trial
from vpbsd_sweeps.study.void import examined_by, voided_by
from vpbsd_sweeps.units import hours, volume

GPU_IN_CORES = 30
"""Cores that one GPU is taken for until a stage was measured on one: a guess, and said to be."""
OUTLINE = "outline.json"
TEACHERS: tuple[Family, ...] = ("pre-training", "fine-tuning")
AFTER: tuple[Family, ...] = ("targets", "student", "evaluation")
NAMED = 4
"""Arms of a line that are named; more are counted."""


class Planned(Protocol):
    """What can be planned: a study, or several that share stages."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All its trials."""

    @property
    def beside(self) -> tuple[Stage, ...]:
        """What is measured beside the trials."""


@dataclass(frozen=True)
class Work:
    """What is planned, and the inventory of its unique stages."""

    study: Planned
    inventory: Inventory

    def requested(self) -> Counter[Family]:
        """Counts stage runs per family if every trial trained its own."""
        counts = Counter(s.family for t in self.study.trials for s in t.stage.lineage())
        return counts + Counter(stage.family for stage in self.study.beside)

    def counts(self) -> Iterator[str]:
        """Yields a table of stages by family: asked for, unique, stored."""
        requested, inventory = self.requested(), self.inventory
        yield "stage          requested | unique | stored | damaged"
        for family in (f for f in FAMILIES if requested[f]):
            own = (s for s in inventory.stages if s.family == family)
            states = Counter(inventory.states[stage.key] for stage in own)
            yield (
                f"{family:<14} {requested[family]:>9} | {states.total():>6} "
                f"| {states['stored']:>6} | {states['damaged']:>7}"
            )

    def estimates(self) -> Iterator[str]:
        """Yields what is left in hours and bytes, and what sharing saves."""
        inventory, costs = self.inventory, self.inventory.costs()
        left = sum(costs[stage.key] for stage in inventory.missing)
        naive = sum(costs[s.key] for t in self.study.trials for s in t.stage.lineage())
        yield f"work left {hours(left)}; every trial on its own {hours(naive)} ({inventory.basis})"
        yield f"longest path {hours(self.longest_path(costs))}: more slices do not shorten it"
        taken = "measured" if inventory.on_gpu else f"a GPU taken as {GPU_IN_CORES} cores"
        shares = ", ".join(f"{family} {piece.gpus:g}" for family, piece in ON_GPUS.items())
        gpu_hours = f"{self.gpu_hours():.2g} GPU-hours ({taken})"
        yield f"on GPUs about {gpu_hours}; share of a GPU: {shares}"
        families = {stage.key: stage.family for stage in inventory.stages}
        yield from proposals(families, inventory.peaks)
        size, stored = sum(inventory.bytes().values()), sum(inventory.sizes.values())
        yield f"disk for results about {volume(size)}, {volume(stored)} of it stored"

    def longest_path(self, costs: Mapping[str, float]) -> float:
        """Sums the seconds of the longest row of stages to run, each waiting for the one before.

        Args:
            costs: Key -> seconds of a stage.
        """
        missing = {stage.key for stage in self.inventory.missing}
        until: dict[str, float] = {}
        for stage in self.inventory.stages:  # upstream first
            above = max((until[up.key] for up in stage.upstream.values()), default=0.0)
            until[stage.key] = above + (costs[stage.key] if stage.key in missing else 0.0)
        return max(until.values(), default=0.0)

    def gpu_hours(self) -> float:
        """Estimates what is left in hours of whole GPUs, were it run on GPU slices."""
        return gpu_hours(self.inventory)

    def check_budget(self, most: float | None, before: float = 0.0) -> None:
        """Refuses a study that would take more than it may.

        Args:
            most: GPU-hours; None: any.
            before: GPU-hours of what must be run before the study can be.

        Raises:
            BadInput: The estimate is above that.
        """
        needed = self.gpu_hours() + before
        if most is not None and needed > most:
            raise BadInput(
                f"study '{self.study.name}' would take about {needed:.2g} GPU-hours, "
                f"--max-gpu-hours allows {most:g}: ask for fewer arms, folds or seeds, or raise it"
            )


@dataclass(frozen=True)
class Plan(Work):
    """A study and the inventory of its unique stages.

    Attributes:
        known: The identity stored under its name when it was planned, which it may have outgrown.
    """

    study: Study
    known: Mapping[str, Any] | None = None

    def without_result(self) -> list[Trial]:
        """Returns the trials, but for masks of other tools, whose end is not stored."""
        missing = {s.key for s in self.inventory.missing if not isinstance(s.config, External)}
        return [trial for trial in self.study.trials if trial.stage.key in missing]

    def without_training(self) -> Plan:
        """Plans the scoring of masks of other tools alone."""
        return replace(self, inventory=self.inventory.without_training())

    def lines(self) -> Iterator[str]:
        """Yields the plan as people and scripts read it."""
        study = self.study
        yield (
            f"study {study.name}: {len(study.arms)} arms, {len(study.folds)} folds, "
            f"{len(study.seeds)} seeds = {len(study.trials)} trials"
        )
        yield from growth(study, self.known)
        yield from remarks(study.volumes, study.folds, study.settings.data.patch)
        yield from (f"arm {arm}" for arm in study.arms)
        yield from self.counts()
        yield from self.estimates()
        yield "shared stages, over all folds:"
        yield from (f"  {line}" for line in sharing(study.trials, self.inventory.states))


def gpu_hours(inventory: Inventory) -> float:
    """Estimates what is left of some stages in hours of whole GPUs."""
    costs, missing = inventory.costs(), inventory.missing
    seconds = sum(ON_GPUS[stage.family].gpus * costs[stage.key] for stage in missing)
    return seconds / 3600 / (1 if inventory.on_gpu else GPU_IN_CORES)


def make_plan(study: Study, store: Store) -> Plan:
    """Looks up every stage of a study, grown from what it was; reads no voxels or weights.

    Raises:
        BadInput: The name belongs to a study with other settings or data.
    """
    known = store.studies.read_json(f"{study.name}/{IDENTITY}")
    study = grown(study, known)
    return Plan(study, look_up(study.name, study.stages(), store), known)


def preview(study: Study, store: Store) -> Plan:
    """Looks up every stage of a study whose settings are not final: no name is claimed by it."""
    return Plan(study, look_up(study.name, study.stages(), store), None)


def outline(plan: Plan, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Lists stages and trials of a study, see `outlined`.

    Args:
        plan: Of the study.
        earlier: Its outline before it grew: what was trained since then is its own work.
    """
    trials = plan.study.trials
    made = outlined(plan.inventory, [(trial.arm, trial.stage) for trial in trials])
    for known, trial in zip(made["trials"], trials, strict=True):
        known["fold"] = trial.fold
    places = stage_places(plan.study)
    for stage in made["stages"]:
        stage["label"] = placed(stage["label"], places.get(stage["key"]))
    before = {stage["key"]: stage["before"] for stage in (earlier or {"stages": ()})["stages"]}
    for stage in made["stages"]:
        stage["before"] = before.get(stage["key"], stage["before"])
    return made


def placed(label: str, place: str | None) -> str:
    """Writes a stage's label with its folds and seed behind it, where it has any.

    >>> placed("vpbsd", "fold 1, seed 2"), placed("time light_unet", "")
    ('vpbsd, fold 1, seed 2', 'time light_unet')
    """
    return f"{label}, {place}" if place else label


def outlined(inventory: Inventory, trials: Sequence[tuple[str, Stage]]) -> dict[str, Any]:
    """Lists stages and trials for whoever watches them without data or settings.

    Args:
        inventory: Of all stages.
        trials: Arm or candidate, and the stage a trial ends with.

    Returns:
        ``stages``: key, family, label, ``guess`` in seconds, ``before`` (stored before it ran)
        and ``asked`` (trials and timings that need it) of each; ``trials``: arm, key, the keys of
        stages that would void it, and of those that would leave it unproven; of a study also
        the fold.
    """
    costs, states = inventory.costs(), inventory.states
    needed = Counter(stage.key for _, last in trials for stage in last.lineage())
    return {
        "stages": [
            {
                "key": stage.key,
                "family": stage.family,
                "label": stage.label,
                "guess": costs[stage.key],
                "before": states[stage.key] == "stored",
                "asked": needed[stage.key] or 1,
            }
            for stage in inventory.stages
        ],
        "trials": [
            {
                "arm": arm,
                "key": last.key,
                "voided_by": [stage.key for stage in voided_by(last)],
                "unproven_by": [e.key for e in [examined_by(last)] if e is not None],
            }
            for arm, last in trials
        ],
    }


def sharing(trials: Iterable[Trial], states: Mapping[str, State]) -> Iterator[str]:
    """Yields a line per row of teachers, over all folds: unique stages, how many are stored.

    Args:
        trials: Of all arms and folds.
        states: Key -> state of every stage that they rest on.
    """
    rows: defaultdict[tuple[str, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        stages = trial.stage.lineage()
        rows[tuple(s.label for s in stages if s.family in TEACHERS)].append(trial)
    for labels, own in rows.items():
        unique = {stage.key: stage for trial in own for stage in trial.stage.lineage()}
        kinds = [(name, [s for s in unique.values() if s.label == name]) for name in labels]
        kinds += [(name, [s for s in unique.values() if s.family == name]) for name in AFTER]
        row = " > ".join(_count(name, stages, states) for name, stages in kinds if stages)
        arms = list(dict.fromkeys(trial.arm for trial in own))
        yield f"{row}: " + (", ".join(arms) if len(arms) <= NAMED else f"{len(arms)} arms")


def _count(name: str, stages: list[Stage], states: Mapping[str, State]) -> str:
    stored = sum(states[stage.key] == "stored" for stage in stages)
    return f"{name} {len(stages)}" + (f" ({stored} stored)" if stored else "")
