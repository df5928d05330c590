"""A search under Ray Tune: our journal asks and tells, a scheduler of Tune's stops students.

What a trial goes through is a program from above, since it knows the science; its coordinator
lends it the cluster. Losing a coordinator loses nothing: Tune starts the trial again, and what
was trained is in the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.search import Searcher

from vpbsd_sweeps.execution.client import follow, watching
from vpbsd_sweeps.execution.cluster import NAMESPACE, get_scheduler
from vpbsd_sweeps.execution.early_stopping import RUNG, SCORE, EarlyStopping, make_scheduler
from vpbsd_sweeps.execution.events import Follow, OnRow, StageState, StageStatus
from vpbsd_sweeps.execution.jobs import SYSTEM_RETRIES, Job, Waiter
from vpbsd_sweeps.execution.scheduler import scheduler_name
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.tuner import run_tuned
from vpbsd_sweeps.store.results import Store

CURVE, ENDED = "curve", "ended"
Params = dict[str, Any]
Curve = tuple[tuple[int, float], ...]
Program = Callable[[int, Params, Follow, Callable[[int, float, Curve], None], Store], Any]
"""(number, configuration, how to wait for a stage, who is shown rungs, store) -> its end."""


class AskAndTell(Protocol):
    """What a search is to the cluster; `tuning.searcher.Searcher` is one."""

    def ask(self, running: int) -> tuple[int, Params] | None:
        """Gives the next trial, beside so many that have not ended; None: no other is wanted."""

    def tell(self, ended: Any) -> None:  # noqa: ANN401 (what the program returned)
        """Takes note of how a trial ended."""

    def tell_stopped(self, number: int, curve: Curve) -> None:
        """Takes note that a trial was stopped early."""

    def tell_failed(self, number: int, reason: str) -> None:
        """Takes note that a trial cannot be run."""

    def heard(self) -> Iterable[Sequence[tuple[int, float]]]:
        """Gives (rung, DSC there) of all trials that ended before."""


@dataclass(frozen=True)
class Rule:
    """Who stops students early, and when: see `early_stopping.make_scheduler`."""

    name: str
    rungs: tuple[int, ...]


def coordinate_search(config: dict[str, Any], program: Program, url: str, session: str) -> None:
    """Runs a trial, as Tune calls it: waits for its stages and shows Tune what it is judged by."""
    scheduler = ray.get_actor(scheduler_name(url), NAMESPACE)
    waiter = waiter_of(session, config["number"])

    def wait_for(job: Job, on_row: OnRow) -> tuple[StageState, str]:
        return follow(scheduler, job, waiter, on_row)

    def show(rung: int, score: float, curve: Curve) -> None:
        tune.report({RUNG: rung, SCORE: score, CURVE: curve})

    ended = program(config["number"], config["params"], wait_for, show, Store(url))
    tune.report({ENDED: ended})


def waiter_of(session: str, number: int) -> Waiter:
    """Returns a trial of a search as the scheduler knows it."""
    return Waiter(session, f"search-{number}")


class TuneSearcher(Searcher):  # type: ignore[misc]
    """Lets Tune ask and tell through a search's own journal.

    Args:
        search: What is asked and told.
        early: Knows which trials were stopped: those have no last report.
        at_once: Most trials alive at a time.
        leave: Called with the number of a trial that has ended: nothing waits for it any longer.
    """

    def __init__(
        self,
        search: AskAndTell,
        early: EarlyStopping,
        at_once: int,
        leave: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._search, self._early = search, early
        self._at_once, self._leave = at_once, leave
        self._running: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Gives Tune the next configuration, if there is room for it."""
        if len(self._running) >= self._at_once:
            return None
        drawn = self._search.ask(len(self._running))
        if drawn is None:
            return str(Searcher.FINISHED)
        number, params = drawn
        self._running[trial_id] = number
        return {"number": number, "params": params}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tells how a trial ended; one that Tune let go of without a reason is left as asked."""
        number, last = self._running.pop(trial_id), result or {}
        self._leave(number)
        if ENDED in last:
            self._search.tell(last[ENDED])
        elif trial_id in self._early.stopped:
            self._search.tell_stopped(number, last[CURVE])
        elif error:
            self._search.tell_failed(
                number, f"its coordinator was lost {SYSTEM_RETRIES + 1} times"
            )

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Writes nothing: the journal holds it all."""


def run_search(
    search: AskAndTell,
    program: Program,
    rule: Rule,
    store: Store,
    slices: dict[str, Slice],
    at_once: int,
    watch: Callable[[list[StageStatus]], None],
) -> None:
    """Runs trials under Tune until the search wants no other.

    Args:
        search: Asked for trials, and told how they ended.
        program: What each of them goes through; pickled with what it holds.
        rule: Who stops students early.
        store: Where stages are looked up and committed.
        slices: Per family.
        at_once: Most trials alive at a time.
        watch: Called every second or two with all stages, from a thread of its own.
    """
    session = os.urandom(8).hex()
    scheduler = get_scheduler(store, slices)
    early = EarlyStopping(make_scheduler(rule.name, rule.rungs), search.heard())

    def leave(number: int) -> None:
        scheduler.leave.remote(waiter_of(session, number))

    trainable = tune.with_parameters(
        coordinate_search, program=program, url=store.url, session=session
    )
    with watching(scheduler, session, watch):
        run_tuned(
            trainable,
            search_alg=TuneSearcher(search, early, at_once, leave),
            scheduler=early,
            num_samples=-1,  # until the search wants no other
        )
