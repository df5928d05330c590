"""What people see while a study runs: stages per family, what is running, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.table import Table

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.terminal import Terminal, at_work, running
from vpbsd_sweeps.study.inventory import FAMILIES, Inventory
from vpbsd_sweeps.units import hours

COLUMNS = ("stage", "stored before", "done", "running", "waiting", "to do", "failed")
ENOUGH = 0.1
"""Share of the work that must be done before its pace says more than a guess."""


class SweepDisplay(Terminal):
    """Stages of a study on a screen; used as a with-statement.

    Args:
        inventory: The stages, as they were when it began.
        at_once: Stages that run at a time, for the time left.
        tally: Of the study, if it is one.
    """

    def __init__(self, inventory: Inventory, at_once: int, tally: Tally | None = None) -> None:
        super().__init__()
        self.inventory, self.at_once, self.tally = inventory, max(1, at_once), tally
        self._costs = inventory.costs()
        self._missing = {stage.key: stage for stage in inventory.missing}
        self._take(stage.key for stage in inventory.stages if stage.key not in self._missing)

    def show(self, stages: list[StageStatus]) -> None:
        """Shows the newest status of all stages: a table, what runs, a line."""
        self._take(stage.key for stage in stages if stage.state == StageState.STORED)
        self.draw(self.line(stages), [self._table(stages), *running(stages)])

    def line(self, stages: list[StageStatus]) -> str:
        """Renders all of it in one line."""
        parts = [
            f"[{hours(self.elapsed)}] {self._done(stages).total()}/{len(self._missing)} stages",
            *at_work(stages),
            *([self.tally.best(), self.tally.hours()] if self.tally else []),
            f"about {hours(self.seconds_left(stages))} left",
        ]
        return "; ".join(part for part in parts if part)

    def seconds_left(self, stages: list[StageStatus]) -> float:
        """Estimates from the costs of what is left, scaled by what the finished part took."""
        costs, shares = self._costs, {s.key: _share(s) for s in stages}
        done = sum(costs[key] * shares.get(key, 0.0) for key in self._missing)
        left = sum(costs[key] * (1 - shares.get(key, 0.0)) for key in self._missing)
        known = done > ENOUGH * (done + left)
        return left * self.elapsed / done if known else left / self.at_once

    def _take(self, keys: Iterable[str]) -> None:
        if self.tally is not None:
            self.tally.take(keys)

    def _done(self, stages: list[StageStatus]) -> Counter[str]:
        return Counter(
            s.family for s in stages if s.state == StageState.STORED and s.key in self._missing
        )

    def _table(self, stages: list[StageStatus]) -> Table:
        table = Table(title=f"{self.inventory.name}", title_justify="left")
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "stage" else "right")
        every = Counter(stage.family for stage in self.inventory.stages)
        missing = Counter(stage.family for stage in self._missing.values())
        done = self._done(stages)
        for family in FAMILIES:
            states = Counter(stage.state for stage in stages if stage.family == family)
            live = [states[StageState.RUNNING], states[StageState.QUEUED]]
            failed = states[StageState.FAILED]
            left = max(missing[family] - done[family] - sum(live) - failed, 0)
            numbers = (every[family] - missing[family], done[family], *live, left, failed)
            table.add_row(family, *map(str, numbers))
        return table


def _share(stage: StageStatus) -> float:
    ended = stage.state in (StageState.STORED, StageState.FAILED)
    return 1.0 if ended else stage.share
