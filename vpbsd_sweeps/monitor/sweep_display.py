"""What people see while a study runs: stages per family, what is running, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.monitor.terminal import Terminal, at_work, running
from vpbsd_sweeps.monitor.time_left import Task, TimeLeft
from vpbsd_sweeps.study.inventory import FAMILIES, Inventory
from vpbsd_sweeps.units import hours

COLUMNS = ("stage", "stored before", "done", "running", "waiting", "to do", "failed")


class SweepDisplay(Terminal):
    """Stages of a study on a screen; used as a with-statement.

    Args:
        inventory: The stages, as they were when it began.
        fit: Family -> how many stages of it fit side by side, for the time left.
        tally: Of the study, if it is one.
    """

    def __init__(
        self, inventory: Inventory, fit: Mapping[str, int], tally: Tally | None = None
    ) -> None:
        super().__init__()
        self.inventory, self.tally = inventory, tally
        self._missing = {stage.key: stage for stage in inventory.missing}
        self._left = TimeLeft(_tasks(inventory), fit)
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
            f"about {hours(self._left.seconds(stages, self.elapsed))} left",
        ]
        return "; ".join(part for part in parts if part)

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


def _tasks(inventory: Inventory) -> Iterator[Task]:
    """Yields the stages that are to be run."""
    costs = inventory.costs()
    for stage in inventory.missing:
        above = tuple(up.key for up in stage.upstream.values())
        yield Task(stage.key, stage.family, costs[stage.key], above, stage.label)
