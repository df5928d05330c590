"""Where progress is shown: a live table in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vpbsd_sweeps.execution.events import StageState, StageStatus
from vpbsd_sweeps.units import hours

PLAIN_EVERY = 30.0
NAME, BAR = 40, 14  # columns


class Terminal(ABC):
    """Standard error, used as a with-statement; subclasses choose what of the stages to show."""

    def __init__(self) -> None:
        self.began = self._spoke = time.monotonic()
        self._last = ""
        console = Console(file=sys.stderr)
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._live:  # what answered Ctrl-C stays the last line
            self._live.transient = kind is KeyboardInterrupt
            self._live.stop()

    @abstractmethod
    def show(self, stages: list[StageStatus]) -> None:
        """Shows the newest status of all stages."""

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def draw(self, line: str, above: Sequence[RenderableType]) -> None:
        """Draws the newest state as a line; in a terminal with more above it."""
        if self._live:
            self._live.update(Group(*above, Text(line)))
        elif line != self._last and time.monotonic() - self._spoke > PLAIN_EVERY:
            print(line, file=sys.stderr, flush=True)
            self._last, self._spoke = line, time.monotonic()


def running(stages: Sequence[StageStatus]) -> list[Text]:
    """Renders a line with a bar for each stage that runs, within 80 columns."""
    return [
        Text(f"  {_cut(s.label):<{NAME}} {bar(s.share)} {s.share:>4.0%} {hours(s.seconds):>7}")
        for s in stages
        if s.state == StageState.RUNNING
    ]


def bar(share: float) -> str:
    """Draws a share in [0, 1].

    >>> bar(0.5)
    '━━━━━━━───────'
    """
    done = round(BAR * min(max(share, 0.0), 1.0))
    return "━" * done + "─" * (BAR - done)


def _cut(label: str) -> str:
    """Shortens a label in its middle: its end has fold and seed."""
    return label if len(label) <= NAME else f"{label[: NAME - 25]}…{label[-24:]}"


def at_work(stages: Sequence[StageStatus]) -> list[str]:
    """Describes what runs and how many wait, as parts of a line."""
    labels = [f"{s.label} {s.share:.0%}" for s in stages if s.state == StageState.RUNNING]
    waiting = sum(stage.state == StageState.QUEUED for stage in stages)
    return [f"running {', '.join(labels) or 'none'}", f"{waiting} waiting"]
