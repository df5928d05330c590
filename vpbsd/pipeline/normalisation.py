"""How intensities and network states are normalised, chosen on training groups alone.

No single choice is right for every kind of microscope. Each candidate trains short supervised
students on inner folds of a fold's training groups; the groups that the fold tests see nothing
of it (nested cross-validation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from vpbsd.data.folds import Fold
from vpbsd.data.inner_folds import inner_folds
from vpbsd.data.volumes import check_intensity
from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import light_unet
from vpbsd.pipeline.stage_config import Evaluate
from vpbsd.pipeline.stages import Stage
from vpbsd.settings import Settings

Overrides = Mapping[str, object]
"""Dotted path of a setting -> value, as `--set` takes them."""


def _candidate(
    percentile: float = 95.0, intensity: str = "percentile", norm: str = "group", path: int = 0
) -> Overrides:
    """Makes overrides of every setting that a choice decides on: none is left to the preset."""
    return {
        "data.clip_percentile": percentile,
        "data.intensity": intensity,
        "student.network.norm": norm,
        "student.network.intensity_path": bool(path),
    }


CANDIDATES: Mapping[str, Overrides] = {
    "p95 group": _candidate(),
    "z-score group": _candidate(intensity="zscore"),
    "p99.5 group": _candidate(99.5),
    "p99.5 group path": _candidate(99.5, path=1),
    "p99.5 batch": _candidate(99.5, norm="batch"),
    "p99.5 batch path": _candidate(99.5, norm="batch", path=1),
    "match batch": _candidate(intensity="match", norm="batch"),
    "local group": _candidate(99.5, intensity="local"),
}
"""What is tried, by name: intensity, the student's norm, its intensity path. An earlier one takes
a tie, so the paper's comes first."""

CHOSEN = frozenset(_candidate())
"""Settings that a choice decides on."""

SHARE = 3
"""The students of a choice have one of so many epochs,"""
LEAST = 10
"""but at least so many, or all there are: half of the laptop's budget."""


@dataclass(frozen=True)
class Scored:
    """A candidate on one inner fold.

    Attributes:
        candidate: Its name.
        fold: Number of the outer fold.
        inner: Number of the inner fold.
        stage: The evaluation it ends with.
    """

    candidate: str
    fold: int
    inner: int
    stage: Stage

    @property
    def id(self) -> str:
        """Its name among those of a data set."""
        return f"{self.candidate}-fold{self.fold}-inner{self.inner}".replace(" ", "_")


def inner_trials(s: Settings, fold: Fold, candidates: Mapping[str, Overrides]) -> Iterator[Scored]:
    """Yields what must be run to choose for a fold: every candidate on every inner fold.

    A candidate that a training volume cannot be normalised by is passed over.
    """
    splits = inner_folds(fold, s.protocol.margin)
    for name, overrides in candidates.items():
        chosen = override(s, overrides)
        try:
            check_intensity([part.volume for part in fold.train], chosen.data)
        except BadInput:
            continue
        for number, split in enumerate(splits):
            yield Scored(name, fold.index, number, _evaluation(chosen, split, name))


def _evaluation(s: Settings, split: Fold, name: str) -> Stage:
    epochs = s.student.optim.epochs
    fewer = max(min(epochs, LEAST), epochs // SHARE)
    trained = light_unet(override(s, {"student.optim.epochs": fewer}), split, 0, f"light {name}")
    config = Evaluate(data=s.data, precision=s.precision)
    return Stage(config, {"test": split.test}, {"network": trained}, 0, f"evaluate {name}")


@dataclass(frozen=True)
class Decision:
    """What was chosen for a fold.

    Attributes:
        fold: Its number.
        chosen: Name of the candidate; "": there was nothing to choose by, the preset is kept.
        close: Others within one standard error of the best.
        means: Candidate -> mean DSC over training groups, of those that were measured.
    """

    fold: int
    chosen: str
    close: tuple[str, ...]
    means: Mapping[str, float]

    def line(self) -> str:
        """Says what was chosen, and what else came close."""
        if not self.chosen:
            return (
                f"fold {self.fold}: the preset's normalisation is kept, since no candidate could "
                "be measured on its training groups: one group that is too narrow to be halved, "
                "or all failed"
            )
        close = ", ".join(f"{name} ({self.means[name]:.3f})" for name in self.close)
        rest = [name for name in self.means if name not in (self.chosen, *self.close)]
        others = ", ".join(f"{name} ({self.means[name]:.3f})" for name in rest)
        return (
            f"fold {self.fold}: {self.chosen}, inner DSC {self.means[self.chosen]:.3f}; within "
            f"one standard error: {close or 'nothing else'}; beyond: {others or 'nothing'}"
        )


def decide(fold: int, scores: Mapping[str, Sequence[float]]) -> Decision:
    """Chooses the earliest candidate that is within one standard error of the best mean.

    The error is that of the paired differences to the best, since groups are not equally hard.

    Args:
        fold: Its number.
        scores: Candidate, in order of preference -> mean DSC of each training group, the same
            groups in the same order; two or more of them.

    >>> decide(0, {"a": (0.5, 0.7), "b": (0.6, 0.8), "c": (0.61, 0.78)}).chosen
    'b'
    """
    means = {name: mean(values) for name, values in scores.items()}
    if not means:
        return Decision(fold, "", (), {})
    best = scores[max(means, key=lambda name: means[name])]
    ties = [name for name, values in scores.items() if _ties(values, best)]
    return Decision(fold, ties[0], tuple(ties[1:]), means)


def _ties(values: Sequence[float], best: Sequence[float]) -> bool:
    behind = [b - v for v, b in zip(values, best, strict=True)]
    return mean(behind) <= stdev(behind) / math.sqrt(len(behind)) + 1e-12
