"""Label efficiency: the same study under several numbers of labelled groups, planned together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.growth import IDENTITY, grown, growth
from vpbsd_sweeps.study.inventory import look_up
from vpbsd_sweeps.study.plan import Plan, Work, make_plan
from vpbsd_sweeps.study.study import Study, Trial

Count = int | None
"""Training groups of a fold that keep their labels; None: all."""


@dataclass(frozen=True)
class LabelStudies:
    """One study per number of labelled groups; they share what needs no label.

    Attributes:
        name: What the names of all begin with.
        studies: In the order of the counts asked for.
    """

    name: str
    studies: tuple[Study, ...]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The trials of all."""
        return tuple(trial for study in self.studies for trial in study.trials)

    @cached_property
    def beside(self) -> tuple[Stage, ...]:
        """What is measured beside the trials of all, each once."""
        return tuple({t.key: t for study in self.studies for t in study.beside}.values())

    def stages(self) -> Iterator[Stage]:
        """Yields every stage that one of them needs, once, upstream first."""
        seen: set[str] = set()
        for stage in (stage for study in self.studies for stage in study.stages()):
            if stage.key not in seen:
                seen.add(stage.key)
                yield stage


@dataclass(frozen=True)
class LabelPlan(Work):
    """Label studies and the inventory of their unique stages, a shared one counted once."""

    study: LabelStudies
    plans: tuple[Plan, ...]

    def lines(self) -> Iterator[str]:
        """Yields the plan as people and scripts read it: a line per study, then one total."""
        counted: set[str] = set()
        for plan in self.plans:
            own = {stage.key for stage in plan.inventory.stages}
            shared = f", {len(own & counted)} of them counted above" if counted else ""
            study = plan.study
            yield (
                f"study {study.name}: {len(study.arms)} arms, {len(study.folds)} folds, "
                f"{len(study.seeds)} seeds = {len(study.trials)} trials on {len(own)} stages"
                f"{shared}"
            )
            yield from growth(study, plan.known)
            counted |= own
        yield f"all {len(self.plans)} studies: {len(counted)} stages"
        yield from self.counts()
        yield from self.estimates()


def counts_of(text: str) -> tuple[Count, ...]:
    """Reads numbers of labelled groups, each once.

    Raises:
        BadInput: Something is neither a whole number above 0 nor ``all``.

    >>> counts_of("1,2,all")
    (1, 2, None)
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d*|all", word) for word in words):
        raise BadInput(f"--labels {text}: give numbers of labelled groups, or all: 1,2,4,all")
    return tuple(dict.fromkeys(None if word == "all" else int(word) for word in words))


def name_of(name: str, count: Count) -> str:
    """Returns the name of the study with so many labelled groups.

    >>> name_of("mine", 2), name_of("mine", None)
    ('mine-labels2', 'mine-labelsall')
    """
    return f"{name}-labels{count or 'all'}"


def siblings(name: str, known: Iterable[str]) -> dict[str, Count]:
    """Finds the label studies that belong to a study or to the name that they share.

    Args:
        name: Of one of them, or what the names of all begin with.
        known: Names of all studies.

    Returns:
        Name -> number of labelled groups, the fewest first and all of them last.

    >>> siblings("mine", ["mine-labelsall", "mine-labels2", "mine", "other-labels1"])
    {'mine-labels2': 2, 'mine-labelsall': None}
    """
    begins = re.sub(r"-labels([1-9]\d*|all)$", "", name)
    found: dict[str, Count] = {}
    for other in known:
        match = re.fullmatch(rf"{re.escape(begins)}-labels([1-9]\d*|all)", other)
        if match:
            found[other] = None if match[1] == "all" else int(match[1])
    return dict(sorted(found.items(), key=lambda item: item[1] or float("inf")))


def label_studies(study: Study, counts: tuple[Count, ...]) -> LabelStudies:
    """Makes the study of each number of labelled groups.

    Raises:
        BadInput: The study itself has labels taken away.
    """
    if study.settings.protocol.train_groups is not None:
        raise BadInput("--labels sets protocol.train_groups: leave the latter out")
    studies = (
        replace(
            study,
            name=name_of(study.name, count),
            settings=override(study.settings, {"protocol.train_groups": count}),
        )
        for count in counts
    )
    return LabelStudies(study.name, tuple(studies))


def make_label_plan(studies: LabelStudies, store: Store) -> LabelPlan:
    """Looks up every stage of all studies; reads manifests only.

    Raises:
        BadInput: A fold has fewer training groups than are to keep their labels, or a name
            belongs to a study with other settings or data.
    """
    known = (store.studies.read_json(f"{study.name}/{IDENTITY}") for study in studies.studies)
    every = tuple(map(grown, studies.studies, known))
    studies = replace(studies, studies=every)
    inventory = look_up(studies.name, studies.stages(), store)
    plans = tuple(make_plan(study, store) for study in studies.studies)
    return LabelPlan(study=studies, inventory=inventory, plans=plans)
