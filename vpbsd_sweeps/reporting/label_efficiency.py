"""What labels are worth: DSC of every arm against the number of labelled groups.

A fold is the unit: with few labels each fold draws others, so folds are draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from vpbsd.pipeline.crossings import arm_title
from vpbsd_sweeps.reporting import checks, significance
from vpbsd_sweeps.reporting.columns import PRIMARY
from vpbsd_sweeps.reporting.records import StudyRecords, TrialResult
from vpbsd_sweeps.reporting.rows import scores
from vpbsd_sweeps.reporting.significance import ALPHA
from vpbsd_sweeps.store.studies import first_difference
from vpbsd_sweeps.study.identity import protocol_of


@dataclass(frozen=True)
class Interval:
    """A mean over n folds and its 95 % t-interval, which is NaN of one fold.

    >>> print(Interval.over([0.5, 0.6, 0.7]), Interval.over([0.5]), sep=", ")
    0.600 [0.352, 0.848], 0.500
    """

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def over(cls, folds: Sequence[float]) -> Interval:
        """Computes it of one number per fold."""
        mean, n = float(np.mean(folds)), len(folds)
        if n < 2:
            return cls(mean, math.nan, math.nan, n)
        reach = float(stats.t.ppf(1 - ALPHA / 2, n - 1) * np.std(folds, ddof=1) / math.sqrt(n))
        return cls(mean, mean - reach, mean + reach, n)

    @property
    def excludes_zero(self) -> bool:
        """True where all of the interval is on one side of 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Writes mean and interval with three digits."""
        if math.isnan(self.low):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class LabelEfficiency:
    """What label studies found together.

    Attributes:
        records: One study per number of labelled groups, the fewest first.
        baseline: Arm that others are compared with.
        arms: Of any of them.
        folds: (Arm, study) -> fold -> DSC, the mean over the fold's groups; arms that are void,
            failed or unfinished there are left out.
        left_out: (Arm, study) -> why.
    """

    records: tuple[StudyRecords, ...] = field(repr=False)
    baseline: str
    arms: tuple[str, ...]
    folds: dict[tuple[str, str], dict[int, float]]
    left_out: dict[tuple[str, str], str]

    @property
    def studies(self) -> list[str]:
        """Names of the studies, the fewest labels first."""
        return [records.study for records in self.records]

    def score(self, arm: str, study: str) -> Interval | None:
        """Averages an arm's DSC over folds."""
        folds = self.folds.get((arm, study))
        return Interval.over(list(folds.values())) if folds else None

    def gain(self, arm: str, study: str) -> Interval | None:
        """Averages what an arm has over the baseline with the same labels, paired by fold."""
        return paired(self.folds.get((arm, study)), self.folds.get((self.baseline, study)))

    def room(self, study: str) -> Interval | None:
        """Averages what labels alone give the baseline beyond the fewest, paired by fold."""
        fewest = self.folds.get((self.baseline, self.studies[0]))
        return paired(self.folds.get((self.baseline, study)), fewest)

    def differing(self) -> list[str]:
        """Lists studies that differ from the first in more than their labels."""
        first, lines = _alike(self.records[0]), []
        for records in self.records[1:]:
            difference = first_difference(_alike(records), first)
            if difference:
                lines.append(f"{records.study} and {self.studies[0]} differ: {difference}")
        return lines


def label_efficiency(
    studies: Sequence[StudyRecords], baseline: str | None = None
) -> LabelEfficiency:
    """Works out all numbers of some label studies.

    Args:
        studies: One per number of labelled groups, in any order.
        baseline: Arm to compare with (default light_unet, else the first).

    Raises:
        BadInput: No study has such an arm.
    """
    records = tuple(sorted(studies, key=lambda r: labelled_groups(r) or math.inf))
    arms = tuple(dict.fromkeys(arm for one in records for arm in one.arms))
    folds, left_out = {}, {}
    for one in records:
        reasons = checks.exclusions(one) | checks.incomplete(one)
        for arm in one.arms:
            if arm in reasons:
                left_out[arm, one.study] = reasons[arm]
            else:
                folds[arm, one.study] = fold_means(one.of_arm(arm))
    return LabelEfficiency(
        records, checks.choose_baseline(records[0], baseline), arms, folds, left_out
    )


def labelled_groups(records: StudyRecords) -> int | None:
    """Returns how many training groups of each fold kept their labels; None: all."""
    count: int | None = records.identity["settings"]["protocol"].get("train_groups")
    return count


def training_groups(records: StudyRecords) -> int:
    """Returns how many training groups there are in the fold with most of them.

    Folds by group test all groups in turn, a named split some; folds in space train on every one.
    """
    groups = len(set(json.loads(records.tags["groups"]).values()))
    protocol = protocol_of(records.identity)
    if protocol.split == "space":
        return groups
    if protocol.tested is None:
        return groups - groups // protocol.folds
    return groups - (protocol.tested if isinstance(protocol.tested, int) else len(protocol.tested))


def fold_means(trials: Sequence[TrialResult]) -> dict[int, float]:
    """Averages the DSC of each fold: seeds within volumes, these within groups, then groups."""
    found = {}
    for fold in sorted({trial.fold for trial in trials}):
        groups = significance.group_scores(scores([t for t in trials if t.fold == fold], PRIMARY))
        found[fold] = float(np.mean(list(groups.values())))
    return found


def paired(ours: dict[int, float] | None, theirs: dict[int, float] | None) -> Interval | None:
    """Averages differences over the folds that both have; None if there is none."""
    ours, theirs = ours or {}, theirs or {}
    common = sorted(ours.keys() & theirs.keys())
    return Interval.over([ours[k] - theirs[k] for k in common]) if common else None


def title(arm: str) -> str:
    """Returns an arm's name as people say it."""
    return arm_title(arm)


def _alike(records: StudyRecords) -> dict[str, object]:
    """Returns what all label studies of a name have in common, if they are alike."""
    identity = records.identity
    protocol = dict(identity["settings"]["protocol"])
    protocol.pop("train_groups", None)
    settings = {**identity["settings"], "protocol": protocol}
    return {**identity, "settings": settings}
