"""The one way to run trials: join a cluster, offer slices, show what runs, end in good order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.execution import capacity, cluster
from vpbsd_sweeps.execution.jobs import JobChain
from vpbsd_sweeps.execution.search_trials import AskAndTell, Program, Rule, run_search
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.monitor.terminal import Terminal
from vpbsd_sweeps.patience import insisting
from vpbsd_sweeps.store.lease import Hold
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.costs import guess_memory
from vpbsd_sweeps.tracking.retry import RetryingTracker


@dataclass(frozen=True)
class Session:
    """A cluster that was joined, and what it gives to stages of a store.

    Attributes:
        store: Where stages are looked up and committed.
        slices: Family -> what a stage of it gets.
        fit: Family -> how many stages of it fit side by side.
    """

    store: Store
    slices: dict[str, Slice]
    fit: dict[str, int]

    @property
    def at_once(self) -> int:
        """How many students fit side by side."""
        return self.fit["student"]

    def run(
        self, chains: list[JobChain], display: Terminal, more: int = 0
    ) -> dict[str, tuple[str, str]]:
        """Runs trials and shows their stages meanwhile.

        Args:
            chains: The trials.
            display: Shown while they run.
            more: Trials alive beyond those that fit side by side.

        Returns:
            Trial -> (``finished``, ``failed`` or ``interrupted``; reason).
        """
        with display:
            return run_trials(chains, self.store, self.slices, self.at_once + more, display.show)

    def search(self, search: AskAndTell, program: Program, rule: Rule, display: Terminal) -> None:
        """Runs the trials of a search until it wants no other, and shows their stages meanwhile.

        Args:
            search: Asked for trials, and told how they ended.
            program: What each of them goes through.
            rule: Who stops students early.
            display: Shown while they run.
        """
        with display:
            run_search(search, program, rule, self.store, self.slices, self.at_once, display.show)


def join(store: Store, cpus: int | None, stages: Iterable[Stage]) -> Session:
    """Joins the cluster, or starts a local Ray with so many cores.

    Args:
        store: Where stages are looked up and committed.
        cpus: Cores of a local Ray; None: all.
        stages: What may be run.

    Raises:
        BadInput: It does not answer, or it can never run some stage.
    """
    cluster.connect(cpus)
    slices = capacity.offered(guess_memory(stages))
    return Session(store, slices, capacity.fit(slices))


def failures(outcomes: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Returns the reason of each trial that failed.

    Raises:
        KeyboardInterrupt: Tune was told to stop before some of them ended.

    >>> failures({"a": ("finished", ""), "b": ("failed", "the loss is not finite")})
    {'b': 'the loss is not finite'}
    """
    if any(outcome == "interrupted" for outcome, _ in outcomes.values()):
        raise KeyboardInterrupt
    return {trial: why for trial, (outcome, why) in outcomes.items() if outcome == "failed"}


class Logger(Protocol):
    """What brings MLflow up to date with a study or a search."""

    def catch_up(self) -> None:
        """Logs all that is new."""

    def interrupt(self) -> None:
        """Shows what the driver leaves as killed."""


@contextmanager
def logged(tracker: RetryingTracker, logger: Logger, lock: Hold) -> Iterator[None]:
    """Keeps MLflow up to date while the block runs; one that is interrupted shows as killed."""
    try:
        with tracker.in_background(logger.catch_up):
            yield
    except KeyboardInterrupt:
        if not lock.lost:  # else another driver goes on with it
            with insisting(False):  # who wants to leave does not wait for a store
                tracker.try_once(logger.interrupt)
        raise
