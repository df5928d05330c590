"""The same volumes for every arm in a row: what a reader looks at to believe a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from statistics import mean
from typing import NamedTuple

from matplotlib.image import imread

from vpbsd.evaluation.overlays import side_by_side
from vpbsd.evaluation.picture_names import is_of, kind_and_volume
from vpbsd.evaluation.pictures import Picture, drawn
from vpbsd.pipeline.arms import EXTERNAL
from vpbsd.pipeline.crossings import arm_title
from vpbsd_sweeps.reporting.analysis import VPBSD, StudyAnalysis
from vpbsd_sweeps.reporting.columns import HIGHER_IS_BETTER, PRIMARY
from vpbsd_sweeps.reporting.records import StudyRecords, TrialResult

TEACHER = "teacher"
STRIP = "strip"
"""Kind of the pictures that are put together; see `vpbsd.evaluation.overlays.strip`."""


class Shown(NamedTuple):
    """A volume that is shown: why, its mean over seeds, its fold, its name."""

    word: str
    score: float
    fold: int
    volume: str


def shown_volumes(trials: Sequence[TrialResult]) -> list[Shown]:
    """Picks the best, the median and the worst test volume of an arm by the primary metric."""
    assert PRIMARY in HIGHER_IS_BETTER
    values: dict[tuple[int, str], list[float]] = {}
    for trial in trials:
        for volume, value in trial.values.get(PRIMARY, {}).items():
            values.setdefault((trial.fold, volume), []).append(value)
    scored = sorted((mean(of_volume), *place) for place, of_volume in values.items())
    if not scored:
        return []
    chosen = {"best": scored[-1], "median": scored[len(scored) // 2], "worst": scored[0]}
    return [Shown(word, *one) for word, one in chosen.items()]


def arms_shown(analysis: StudyAnalysis) -> list[str]:
    """Lists the arms of a row: teacher, other tools, baseline, VpbSD, else the best student."""
    arms = analysis.records.arms
    ours = VPBSD if VPBSD in arms else analysis.winner
    beside = [arm for arm in arms if arm == TEACHER or arm.startswith(EXTERNAL)]
    wanted = (*beside, analysis.baseline, ours)
    return list(dict.fromkeys(arm for arm in wanted if arm is not None))


def rows_of_pictures(analysis: StudyAnalysis) -> Iterator[tuple[str, Picture]]:
    """Yields caption and picture of one volume each, drawn of what its arms' trials logged.

    Nothing is yielded of trials that an older version logged: they have no such pictures.
    """
    records, arms = analysis.records, arms_shown(analysis)
    for shown in shown_volumes(records.of_arm(arms[-1])):
        trials = {arm: _trial(records, arm, shown) for arm in arms}
        found = {arm: _strips(records, t, shown.volume) for arm, t in trials.items() if t}
        for kind in dict.fromkeys(kind for of_arm in found.values() for kind in of_arm):
            strips: dict[str, Picture] = {}
            for arm, of_arm in found.items():
                trial = trials[arm]
                if kind in of_arm and trial is not None:
                    score = trial.values[PRIMARY].get(shown.volume, float("nan"))
                    strips[f"{arm_title(arm)}, DSC {score:.3f}"] = of_arm[kind]
            what = kind.removeprefix(STRIP).replace("_", " ")
            title = f"{shown.word} of {arm_title(arms[-1])}: {shown.volume}{what}"
            yield f"{title}, fold {shown.fold}", drawn(side_by_side(strips, title))


def _trial(records: StudyRecords, arm: str, shown: Shown) -> TrialResult | None:
    """Returns the first of an arm's trials that was tested on a volume."""
    tested = (t for t in records.of_arm(arm) if t.fold == shown.fold)
    return next((t for t in tested if shown.volume in t.values.get(PRIMARY, {})), None)


def _strips(records: StudyRecords, trial: TrialResult, volume: str) -> dict[str, Picture]:
    """Downloads a volume's strips; kind, of one class each where there are several -> picture."""
    found: dict[str, Picture] = {}
    for path in records.tracker.list_files(trial.run_id, "pictures"):
        kind, _ = kind_and_volume(path, volume) or ("", "")
        content = records.read_picture(trial.run_id, path) if is_of(kind, STRIP) else None
        if content is not None:
            pixels = imread(BytesIO(content))
            found[kind] = (255 * pixels[..., :3]).round().astype("uint8")
    return found
