"""Who stops students of a search: one of Ray Tune's schedulers, told of rungs alone.

Tune's own snapshots are not used, so what an earlier driver heard comes from the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, NamedTuple

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

RUNG, SCORE = "rung", "dsc"
FACTOR = 2  # one of so many stays at each rung


def make_scheduler(name: str, rungs: Sequence[int]) -> Any:  # noqa: ANN401 (Ray has no types)
    """Makes one of Tune's schedulers.

    Args:
        name: asha, median or none.
        rungs: Epochs at which students are compared, each twice the one before.
    """
    if name == "none" or not rungs:
        return FIFOScheduler()
    by = {"time_attr": RUNG, "metric": SCORE, "mode": "max", "grace_period": rungs[0]}
    if name == "median":  # a trial that had to pause would begin anew
        return MedianStoppingRule(**by, min_time_slice=inf)
    return ASHAScheduler(**by, max_t=rungs[-1], reduction_factor=FACTOR, stop_last_trials=False)


class Earlier(NamedTuple):
    """What Tune's schedulers look at of a trial, of one that has ended."""

    trial_id: str


class EarlyStopping(FIFOScheduler):  # type: ignore[misc]
    """Passes each rung of a trial on once, whatever was lost and sent again.

    Tune's schedulers fail on reports without a score, may count one that comes again as another,
    and know nothing of what was before them.

    Args:
        rule: The scheduler that decides.
        heard: (rung, DSC there) of the trials that ended under earlier drivers.

    Attributes:
        stopped: Names of the trials that it stopped.
    """

    def __init__(
        self,
        rule: Any,  # noqa: ANN401
        heard: Iterable[Sequence[tuple[int, float]]] = (),
    ) -> None:
        super().__init__()
        self._rule = rule
        self._heard: set[tuple[str, int]] = set()
        self.stopped: set[str] = set()
        for number, scores in enumerate(heard):
            trial = Earlier(f"earlier-{number}")
            for rung, score in scores:
                rule.on_trial_add(None, trial)
                rule.on_trial_complete(None, trial, {RUNG: rung, SCORE: score})

    def on_trial_add(self, controller: Any, trial: Any) -> None:  # noqa: ANN401
        """Takes note of a trial."""
        self._rule.on_trial_add(controller, trial)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Decides whether a trial goes on."""
        if SCORE not in result or (trial.trial_id, result[RUNG]) in self._heard:
            return str(TrialScheduler.CONTINUE)
        self._heard.add((trial.trial_id, result[RUNG]))
        decision = str(self._rule.on_trial_result(controller, trial, result))
        if decision == TrialScheduler.STOP:
            self.stopped.add(trial.trial_id)
        return decision
