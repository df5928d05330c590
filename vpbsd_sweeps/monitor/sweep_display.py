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


class SweepDisplay(Terminal):
    """Stages of a study on a screen; used as a with-statement.

    Args:
        stock: The stages, as they were when it began.
        side_by_side: Stages that run at a time, for the time left.
        tally: Of the study, if it is one.
    """

    def __init__(self, stock: Inventory, side_by_side: int, tally: Tally | None = None) -> None:
        super().__init__()
        self.stock, self.side_by_side = stock, max(1, side_by_side)
        self._missing = Counter(stage.family for stage in stock.missing)
        self.tally = tally
        self._take(stage.key for stage in stock.stages if stock.states[stage.key] == "stored")

    def show(self, views: list[StageStatus]) -> None:
        """The newest state of all flights."""
        self._take(view.key for view in views if view.state == "stored")
        self.draw(self.line(views), [self._table(views), *running(views)])

    def line(self, views: list[StageStatus]) -> str:
        """All of it in one line."""
        done = sum(self._done(views).values())
        parts = [
            f"[{hours(self.elapsed)}] {done}/{self._missing.total()} stages",
            *at_work(views),
            *self._told(),
            f"about {hours(self.seconds_left(views))} left",
        ]
        return "; ".join(parts)

    def _take(self, keys: Iterable[str]) -> None:
        if self.tally is not None:
            self.tally.take(keys)

    def _told(self) -> list[str]:
        """The best arm so far, and hours."""
        if self.tally is None:
            return []
        return [told for told in (self.tally.best(), self.tally.hours()) if told]

    def seconds_left(self, views: list[StageStatus]) -> float:
        """From the costs of the stages left, scaled by what the finished part really took."""
        costs, shares = self.stock.costs(), {v.key: _share(v) for v in views}
        done = sum(costs[s.key] * shares.get(s.key, 0.0) for s in self.stock.missing)
        left = sum(costs[s.key] * (1 - shares.get(s.key, 0.0)) for s in self.stock.missing)
        known = done > 0.1 * (done + left)  # before that the pace says little
        return left * self.elapsed / done if known else left / self.side_by_side

    def _done(self, views: list[StageStatus]) -> Counter[str]:
        missing = {stage.key for stage in self.stock.missing}
        return Counter(v.family for v in views if v.state == "stored" and v.key in missing)

    def _table(self, views: list[StageStatus]) -> Table:
        table = Table(title=f"{self.stock.name}", title_justify="left")
        columns = ("stage", "stored before", "done", "running", "waiting", "to do", "failed")
        for column in columns:
            table.add_column(column, justify="left" if column == "stage" else "right")
        done = self._done(views)
        for family in FAMILIES:
            states = Counter(v.state for v in views if v.family == family)
            before = sum(s.family == family for s in self.stock.stages) - self._missing[family]
            begun = (
                states[StageState.RUNNING] + states[StageState.QUEUED] + states[StageState.FAILED]
            )
            left = max(self._missing[family] - done[family] - begun, 0)
            live = (states[StageState.RUNNING], states[StageState.QUEUED])
            numbers = (before, done[family], *live, left, states[StageState.FAILED])
            table.add_row(family, *map(str, numbers))
        return table


def _share(view: StageStatus) -> float:
    return 1.0 if view.state in ("stored", "failed") else view.share
