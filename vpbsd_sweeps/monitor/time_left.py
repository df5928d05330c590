"""How long a run will still take: a schedule of what is left, at the pace of what is done."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from vpbsd_sweeps.execution.events import StageState, StageStatus

ENOUGH = 0.1
"""Share of a running stage that must be done before its own pace says more than its family's."""
PACES = (0.5, 4.0)
"""The least and the most that a run may differ in pace from its schedule."""


@dataclass(frozen=True)
class Task:
    """A stage to be run.

    Attributes:
        seconds: What it is thought to take.
        upstream: Keys of those that it waits for.
        label: What it does; the same in all folds and seeds.
    """

    key: str
    family: str
    seconds: float
    upstream: tuple[str, ...] = ()
    label: str = ""


class TimeLeft:
    """Estimates the time that some stages still take; told how they stand, it learns their pace.

    Stages take what their like in other folds took, else what others of their family did, in
    proportion to what was guessed of them.
    What is left is laid out on the slices there are, as the cluster would run it. The whole is
    stretched by how much longer the part done took than the same layout says: workers start,
    results travel, others use the machine.

    Args:
        tasks: Of the run, upstream first.
        fit: Family -> how many stages of it fit side by side.
    """

    def __init__(self, tasks: Iterable[Task], fit: Mapping[str, int]) -> None:
        self._tasks, self._fit = tuple(tasks), fit
        self._took: dict[str, float] = {}
        self._ran: dict[str, float] = {}
        self._failed = set[str]()

    def seconds(self, stages: Sequence[StageStatus], elapsed: float) -> float:
        """Estimates what is left.

        Args:
            stages: The newest status of those that were begun.
            elapsed: Seconds since the run began.
        """
        known = {task.key for task in self._tasks}
        running = {s.key: s for s in stages if s.state == StageState.RUNNING and s.key in known}
        for stage in stages:
            if stage.state == StageState.RUNNING:
                self._ran[stage.key] = stage.seconds
            elif stage.state in (StageState.STORED, StageState.FAILED) and stage.key in known:
                self._took.setdefault(stage.key, self._ran.get(stage.key, stage.seconds))
                if stage.state == StageState.FAILED:
                    self._failed.add(stage.key)
        expected = self._expected(running)
        done, left = [], []
        for task in self._tasks:
            if task.key in self._took:
                done.append(replace(task, seconds=self._took[task.key]))
                continue
            if self._failed.intersection(task.upstream):  # it will never run
                self._failed.add(task.key)
                continue
            seconds, ran = expected[task.key], 0.0
            if task.key in running:
                ran = running[task.key].seconds
                done.append(replace(task, seconds=ran))
            left.append(replace(task, seconds=max(seconds - ran, 0.02 * seconds)))
        busy = makespan(done, self._fit)
        low, high = PACES
        pace = min(max(elapsed / busy, low), high) if busy > 0 else 1.0
        return pace * makespan(left, self._fit)

    def _expected(self, running: Mapping[str, StageStatus]) -> dict[str, float]:
        """Estimates the seconds of every task that has not ended, by its own or its family's."""
        alone = {
            key: stage.seconds / stage.share
            for key, stage in running.items()
            if stage.share >= ENOUGH
        }
        seen: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
        for task in self._tasks:
            measured = self._took.get(task.key, alone.get(task.key))
            if measured is not None and task.key not in self._failed:
                for like in _alike(task):
                    seen[like].append((measured, task.seconds))
        return {
            task.key: alone.get(
                task.key,
                task.seconds * _ratio(next((seen[a] for a in _alike(task) if a in seen), [])),
            )
            for task in self._tasks
            if task.key not in self._took
        }


def makespan(tasks: Sequence[Task], fit: Mapping[str, int]) -> float:
    """Computes when the last of some tasks ends, if each begins as soon as it can, in order.

    Args:
        tasks: Upstream first; what they wait for and is not among them is done.
        fit: Family -> how many stages of it fit side by side.

    >>> makespan([Task("a", "student", 2.0), Task("b", "student", 3.0)], {"student": 1})
    5.0
    """
    whole = math.lcm(*fit.values())
    sizes = [whole // fit[task.family] for task in tasks]
    keys = {task.key: i for i, task in enumerate(tasks)}
    waits = [{keys[up] for up in task.upstream if up in keys} for task in tasks]
    after: dict[int, list[int]] = defaultdict(list)
    for i, above in enumerate(waits):
        for up in above:
            after[up].append(i)
    ready = [i for i, above in enumerate(waits) if not above]
    running: list[tuple[float, int]] = []
    free, now = whole, 0.0
    while ready or running:
        held = []
        while ready and free > 0:
            i = heappop(ready)
            if sizes[i] > free:
                held.append(i)
                continue
            free -= sizes[i]
            heappush(running, (now + tasks[i].seconds, i))
        for i in held:
            heappush(ready, i)
        now, ended = heappop(running)
        free += sizes[ended]
        for i in after[ended]:
            waits[i].discard(ended)
            if not waits[i]:
                heappush(ready, i)
    return now


def _alike(task: Task) -> tuple[tuple[str, ...], ...]:
    """Lists what a task has in common with others, what tells most first."""
    return (task.family, task.label), (task.family,), ()


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Divides what was measured by what was guessed, in all; 1 where nothing is known."""
    measured, guessed = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    return measured / guessed if measured > 0 and guessed > 0 else 1.0
