"""Who stops students of a search: one of Ray Tune's schedulers, told of validations alone.

Tune's own snapshots are not used, so what an earlier driver heard comes from the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

EPOCH, SCORE = "epoch", "val/dsc"
FACTOR = 2  # one of so many stays at each rung


def make_scheduler(name: str, epochs: int, grace: int) -> Any:  # noqa: ANN401 (Ray has no types)
    """Makes one of Tune's schedulers.

    Args:
        name: asha, median or none.
        epochs: Of the longest schedule. After its last one nobody is stopped: all is paid for.
        grace: Epochs in which nobody is judged; ASHA's rungs are at once, twice, four times it.
    """
    if name == "none" or grace >= epochs:
        return FIFOScheduler()
    by = {"time_attr": EPOCH, "metric": SCORE, "mode": "max", "grace_period": grace}
    if name == "median":  # a trial that is stopped to let others run would begin anew
        return MedianStoppingRule(**by, min_time_slice=epochs)
    return ASHAScheduler(**by, max_t=epochs - 1, reduction_factor=FACTOR, stop_last_trials=False)


class Earlier(NamedTuple):
    """What Tune's schedulers look at of a trial, of one that has ended."""

    trial_id: str


class EarlyStopping(FIFOScheduler):  # type: ignore[misc]
    """Passes each validation of a trial on once, whatever was lost and sent again.

    Tune's schedulers fail on reports without a score, count a report that comes again as another
    one, and know nothing of what was before them.

    Args:
        rule: The scheduler that decides.
        curves: (epoch, DSC) of the trials that ended under earlier drivers.

    Attributes:
        stopped: Names of the trials that it stopped.
    """

    def __init__(
        self,
        rule: Any,  # noqa: ANN401
        curves: Iterable[Sequence[tuple[float, float]]] = (),
    ) -> None:
        super().__init__()
        self._rule = rule
        self._heard: set[tuple[str, float]] = set()
        self.stopped: set[str] = set()
        for number, curve in enumerate(curves):
            trial = Earlier(f"earlier-{number}")
            for epoch, score in curve:
                rule.on_trial_add(None, trial)
                rule.on_trial_complete(None, trial, {EPOCH: epoch, SCORE: score})

    def on_trial_add(self, controller: Any, trial: Any) -> None:  # noqa: ANN401
        """Takes note of a trial."""
        self._rule.on_trial_add(controller, trial)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Decides whether a trial goes on."""
        if SCORE not in result or (trial.trial_id, result[EPOCH]) in self._heard:
            return str(TrialScheduler.CONTINUE)
        self._heard.add((trial.trial_id, result[EPOCH]))
        decision = str(self._rule.on_trial_result(controller, trial, result))
        if decision == TrialScheduler.STOP:
            self.stopped.add(trial.trial_id)
        return decision
