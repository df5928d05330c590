"""Where progress is shown: a live table in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vpbsd_sweeps.execution.events import StageStatus
from vpbsd_sweeps.units import hours

PLAIN_EVERY = 30.0


class Terminal:
    """Standard error; used as a with-statement. Whatever is shown there is one."""

    def __init__(self) -> None:
        self.began = self._spoke = time.monotonic()
        self._last = ""
        console = Console(file=sys.stderr)
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def draw(self, line: str, above: Sequence[RenderableType]) -> None:
        """The newest state, in a line; in a terminal with more above it."""
        if self._live:
            self._live.update(Group(*above, Text(line)))
        elif line != self._last and time.monotonic() - self._spoke > PLAIN_EVERY:
            print(line, file=sys.stderr, flush=True)
            self._last, self._spoke = line, time.monotonic()


def running(views: Sequence[StageStatus]) -> list[Text]:
    """A line for each stage that runs."""
    return [
        Text(f"  {v.label:<28} {v.share:>4.0%}  {hours(v.seconds):>7}  for {v.waiting} trials")
        for v in views
        if v.state == "running"
    ]


def at_work(views: Sequence[StageStatus]) -> list[str]:
    """What runs and how many wait, as parts of a line."""
    labels = [f"{v.label} {v.share:.0%}" for v in views if v.state == "running"]
    waiting = sum(view.state == "queued" for view in views)
    return [f"running {', '.join(labels) or 'none'}", f"{waiting} waiting"]
