"""Which folds and which seed a stage belongs to, for people: a stage's own label names neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.study.study import Study


class Place(NamedTuple):
    """Folds and seeds of the trials that rest on a stage."""

    folds: frozenset[int]
    seeds: frozenset[int]


def stage_places(study: Study) -> dict[str, str]:
    """Finds the folds of every stage of a study, and its seed where the study has several.

    Returns:
        Key -> such as ``fold 1``, ``folds 0, 1`` or ``fold 1, seed 2``; "" where a stage, such as
        the timing of a network, belongs to none.
    """
    places: dict[str, Place] = {}
    for trial in study.trials:
        for stage in trial.stage.lineage():
            before = places.get(stage.key, Place(frozenset(), frozenset()))
            places[stage.key] = Place(before.folds | {trial.fold}, before.seeds | {trial.seed})
    for stage in study.beside:
        places.setdefault(stage.key, _common(stage, places))
    return {key: _said(place, study) for key, place in places.items()}


def _common(stage: Stage, places: Mapping[str, Place]) -> Place:
    """Returns where all that a stage reads belongs: one that reads a fold's teacher is its."""
    known = [places[above.key] for above in stage.upstream.values() if above.key in places]
    if not known:
        return Place(frozenset(), frozenset())
    return Place(
        frozenset.intersection(*(place.folds for place in known)),
        frozenset.intersection(*(place.seeds for place in known)),
    )


def _said(place: Place, study: Study) -> str:
    words = [_listed("fold", place.folds)]
    if len(study.seeds) > 1 and len(place.seeds) == 1:
        words += [_listed("seed", place.seeds)]
    return ", ".join(filter(None, words))


def _listed(word: str, numbers: Iterable[int]) -> str:
    """Lists numbers after a word, which becomes a plural.

    >>> _listed("fold", {1, 0}), _listed("seed", {2}), _listed("fold", ())
    ('folds 0, 1', 'seed 2', '')
    """
    every = sorted(numbers)
    if not every:
        return ""
    return f"{word}{'s' * (len(every) > 1)} {', '.join(map(str, every))}"
