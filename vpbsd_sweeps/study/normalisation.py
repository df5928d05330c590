"""The choice of a normalisation per fold, as stages to run and as what they say once stored."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Any

from vpbsd.data.folds import Fold
from vpbsd.pipeline.normalisation import (
    CANDIDATES,
    Decision,
    Overrides,
    Scored,
    decide,
    inner_trials,
)
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import Settings
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import Inventory, look_up
from vpbsd_sweeps.units import hours


@dataclass(frozen=True)
class Selection:
    """Who chooses, among what, on which training groups.

    Attributes:
        name: Of its MLflow experiment: that of the study, and ``-normalise``.
        settings: Of the study; a candidate changes some of them.
        folds: Of the study; only their training parts are used.
        candidates: By name, in the order of preference.
    """

    name: str
    settings: Settings
    folds: tuple[Fold, ...]
    candidates: Mapping[str, Overrides]

    @cached_property
    def trials(self) -> tuple[Scored, ...]:
        """Every candidate on every inner fold of every fold."""
        return tuple(
            trial
            for fold in self.folds
            for trial in inner_trials(self.settings, fold, self.candidates)
        )

    def stages(self) -> tuple[Stage, ...]:
        """Lists every stage once, upstream first."""
        found = {s.key: s for trial in self.trials for s in trial.stage.lineage()}
        return tuple(found.values())

    def inventory(self, store: Store) -> Inventory:
        """Looks up which of its stages are stored."""
        return look_up(self.name, self.stages(), store)

    def decisions(self, store: Store) -> tuple[Decision, ...]:
        """Decides per fold by what is stored; candidates that lack a result are left out."""
        return tuple(decide(fold.index, self._scores(fold.index, store)) for fold in self.folds)

    def choices(self, decisions: Iterable[Decision]) -> dict[int, Overrides]:
        """Maps folds to what was chosen for them; those that keep the preset are left out."""
        return {d.fold: self.candidates[d.chosen] for d in decisions if d.chosen}

    def _scores(self, fold: int, store: Store) -> dict[str, list[float]]:
        own = [trial for trial in self.trials if trial.fold == fold]
        found: defaultdict[str, list[float]] = defaultdict(list)
        lost = set()
        for trial in own:
            if store.state(trial.stage.key) == "stored":
                found[trial.candidate] += group_scores(trial.stage, store)
            else:
                lost.add(trial.candidate)
        return {name: values for name, values in found.items() if name not in lost}


def select(study: str, settings: Settings, folds: tuple[Fold, ...]) -> Selection:
    """Prepares the choice among all candidates for the folds of a study or search."""
    return Selection(f"{study}-normalise", settings, folds, CANDIDATES)


def group_scores(evaluation: Stage, store: Store) -> list[float]:
    """Reads the mean DSC of each group that a stored evaluation measured, by the group's name."""
    rows = store.read_json(evaluation.key, "rows.json")
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(float(row["dsc"]))
    return [mean(groups[name]) for name in sorted(groups)]


def selection_lines(selection: Selection, inventory: Inventory) -> Iterator[str]:
    """Says what is run to choose, what is stored, and what the rest costs."""
    costs, missing = inventory.costs(), inventory.missing
    kept = [f.index for f in selection.folds if f.index not in {t.fold for t in selection.trials}]
    students = sum(stage.family == "student" for stage in inventory.stages)
    yield (
        f"normalisation: chosen per fold among {', '.join(selection.candidates)}, on training "
        "groups alone"
    )
    yield (
        f"  {len(selection.trials)} inner trials on {students} short students and "
        f"{len(inventory.stages) - students} evaluations, "
        f"{len(inventory.stages) - len(missing)} of these stages stored; work left "
        f"{hours(sum(costs[stage.key] for stage in missing))} ({inventory.basis})"
    )
    if kept:
        yield (
            f"  folds {', '.join(map(str, kept))}: one training group, too narrow to be halved "
            "with protocol.margin on either side: the preset is kept"
        )


def document(decisions: Iterable[Decision]) -> str:
    """Writes what was chosen, a line per fold, as Markdown."""
    return "\n".join(f"- {decision.line()}" for decision in decisions)


def majority(settings: Mapping[str, Overrides]) -> tuple[dict[str, Any], int]:
    """Finds what most folds chose, and how many did; of equally many, the earlier candidate.

    Args:
        settings: Fold -> what was chosen for it; at least one.

    >>> majority({"0": {"a": 1}, "1": {"a": 2}, "2": {"a": 2}})
    ({'a': 2}, 2)
    """
    order = [json.dumps(overrides, sort_keys=True) for overrides in CANDIDATES.values()]
    counts = Counter(json.dumps(overrides, sort_keys=True) for overrides in settings.values())
    place = {text: -i for i, text in enumerate(order)}
    most = max(counts, key=lambda text: (counts[text], place.get(text, -len(order))))
    chosen: dict[str, Any] = json.loads(most)
    return chosen, counts[most]
