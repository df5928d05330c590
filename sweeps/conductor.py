"""The conductor: submits, owns and remembers stage tasks, so that each runs once.

A named, detached actor, one per store on a cluster. However many trials want a stage, it runs
once; one that nobody waits for any more is stopped. It imports no torch; only stage tasks do.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import ray
from ray.exceptions import RayTaskError, TaskCancelledError

from sweeps.slices import Slice
from sweeps.store import Absent, Damaged, Store
from sweeps.tickets import Ticket

SYSTEM_RETRIES = 20  # lost workers and nodes; a stage resumes from its checkpoint each time
SETTLE = 0.5  # seconds in which trials that heard the same news join a queue
FlightState = Literal["queued", "running", "stored", "failed", "again"]


@dataclass
class Flight:
    """One stage on its way, who waits for it, and the rank of the most urgent of them."""

    ticket: Ticket
    session: str
    state: FlightState = "queued"
    share: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    waiting: set[str] = field(default_factory=set)
    rank: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ref: Any = None
    task: Any = None
    began: float = 0.0

    def tell(self, state: FlightState, reason: str = "") -> None:
        """A new state; wakes whoever watches."""
        self.state, self.reason = state, reason
        self.stir()

    def stir(self) -> None:
        """Wakes the watchers."""
        self.news.set()
        self.news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("stored", "failed", "again")


class Lane:
    """Flights one after the other, the most urgent of those that wait first."""

    def __init__(self) -> None:
        self._busy = False
        self._queue: list[Flight] = []
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, flight: Flight) -> AsyncIterator[None]:
        """Waits for this flight's turn and holds the lane within."""
        self._queue.append(flight)
        try:
            await asyncio.sleep(SETTLE)
            async with self._changed:
                await self._changed.wait_for(lambda: not self._busy and self._first() is flight)
                self._busy = True
        finally:
            self._queue.remove(flight)
            await self._wake()  # one that gave up may have been the first
        try:
            yield
        finally:
            self._busy = False
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _first(self) -> Flight:
        return min(self._queue, key=lambda flight: flight.rank)


@dataclass(frozen=True)
class News:
    """What a watcher hears."""

    state: FlightState
    rows: list[dict[str, Any]]
    reason: str


@dataclass(frozen=True)
class View:
    """A flight as the progress display sees it."""

    key: str
    family: str
    label: str
    state: FlightState
    share: float
    waiting: int
    seconds: float
    reason: str


class Conductor:
    """Submits, owns and remembers stage tasks. Rebuilt from the store, it loses nothing."""

    def __init__(self, store_url: str, slices: dict[str, Slice]) -> None:
        self._url, self._store = store_url, Store(store_url)
        self._slices: dict[str, Slice] = {}
        self._flights: dict[str, Flight] = {}
        self._lanes: dict[str, Lane] = {}
        self.use(slices)

    def use(self, slices: dict[str, Slice]) -> None:
        """Slices for stages that begin from now on: the cluster or the wish may be another."""
        self._slices |= slices
        for piece in slices.values():
            if piece.lane is not None:
                self._lanes.setdefault(piece.lane, Lane())

    async def want(self, ticket: Ticket, trial: str, session: str, rank: int = 0) -> None:
        """A trial waits for a stage from now on; the first one sets it going.

        Where stages run one after the other, that of the lowest rank comes first.
        """
        flight = self._flights.get(ticket.key)
        if flight is None or await self._stale(flight, session):
            flight = self._flights[ticket.key] = Flight(ticket, session, rank=rank)
            flight.task = asyncio.create_task(self._fly(flight))
        flight.rank = min(flight.rank, rank)
        flight.waiting.add(trial)

    async def watch(self, key: str, start: int, patience: float = 20.0) -> News:
        """Rows from number `start` on, as soon as there are any or the state is final."""
        flight = self._flights.get(key)
        if flight is None:
            return News("again", [], "the conductor was restarted")
        if not flight.over and len(flight.rows) <= start:
            with suppress(TimeoutError):
                await asyncio.wait_for(flight.news.wait(), patience)
        return News(flight.state, flight.rows[start:], flight.reason)

    async def leave(self, key: str, trial: str) -> None:
        """A trial waits no longer; a stage nobody waits for is stopped, its checkpoint stays."""
        flight = self._flights.get(key)
        if flight is None:
            return
        flight.waiting.discard(trial)
        if not flight.waiting and not flight.over:
            del self._flights[key]
            flight.task.cancel()
            if flight.ref is not None:
                ray.cancel(flight.ref)

    async def report(self, key: str, first: int, rows: list[dict[str, Any]], share: float) -> None:
        """A running stage tells of new rows; a resumed one may tell some again.

        It comes by another way than the stage's end, and may come after it.
        """
        flight = self._flights.get(key)
        if flight is None or flight.over:
            return
        flight.rows[first:] = rows
        flight.state, flight.share = "running", share
        flight.began = flight.began or time.time()
        flight.stir()

    async def overview(self, session: str) -> list[View]:
        """Every flight of a session."""
        now = time.time()
        return [
            View(
                key=flight.ticket.key,
                family=flight.ticket.family,
                label=flight.ticket.label,
                state=flight.state,
                share=flight.share,
                waiting=len(flight.waiting),
                seconds=now - flight.began if flight.began else 0.0,
                reason=flight.reason,
            )
            for flight in self._flights.values()
            if flight.session == session
        ]

    async def _stale(self, flight: Flight, session: str) -> bool:
        """Whether a flight that is over must be flown again."""
        if flight.state == "stored":
            state = await asyncio.to_thread(self._store.state, flight.ticket.key)
            return state != "stored"
        return flight.state == "again" or (flight.state == "failed" and flight.session != session)

    async def _fly(self, flight: Flight) -> None:
        ticket = flight.ticket
        if await asyncio.to_thread(self._store.state, ticket.key) == "stored":
            flight.tell("stored")
            return
        async with self._lane(flight):
            try:
                await self._attempt(flight)
            except RayTaskError as error:
                self._failed(flight, error.cause)
            except TaskCancelledError:
                flight.tell("again", "cancelled")
            except Exception as error:  # a lost worker beyond all retries, and the like
                flight.tell("failed", line(error))
            else:
                flight.share = 1.0
                flight.tell("stored")

    async def _attempt(self, flight: Flight) -> None:
        """Runs the task; out of GPU memory it is run once more, in a slice twice as large."""
        ticket, me = flight.ticket, ray.get_runtime_context().current_actor
        piece, mark = self._slices[ticket.family], await asyncio.to_thread(self._store.mark)
        job = Job(ticket, self._url, mark, piece, me)
        flight.ref = _submit(job)
        try:
            await flight.ref
        except RayTaskError as error:
            larger = piece.larger()
            if larger is None or type(error.cause).__name__ != "OutOfMemoryError":
                raise
            self._slices[ticket.family] = larger  # stages of its family would not fit either
            flight.ref = _submit(job._replace(piece=larger))
            await flight.ref

    def _failed(self, flight: Flight, cause: BaseException) -> None:
        """A damaged or vanished input is made anew; anything else fails the trials."""
        if isinstance(cause, (Damaged, Absent)):
            for key in flight.ticket.upstream.values():
                self._flights.pop(key, None)
            flight.tell("again", line(cause))
        else:
            flight.tell("failed", line(cause))

    @asynccontextmanager
    async def _lane(self, flight: Flight) -> AsyncIterator[None]:
        lane = self._slices[flight.ticket.family].lane
        if lane is None:
            yield
            return
        async with self._lanes[lane].turn(flight):
            yield


class Job(NamedTuple):
    """A stage to be run, on what, and who is told of it.

    Attributes:
        url: Of the store.
        mark: What its mark says, where it is a folder.
        conductor: The actor that submitted it.
    """

    ticket: Ticket
    url: str
    mark: str
    piece: Slice
    conductor: Any


@ray.remote(max_retries=SYSTEM_RETRIES)  # type: ignore[untyped-decorator]
def run_stage(job: Job) -> None:
    """One stage: in this process, or in several that it waits for."""
    if job.piece.ranks == 1:
        work(job)
        return
    from sweeps.spanning import spread

    spread(job.ticket, Store(job.url), job.piece, partial(work, job))


def work(job: Job) -> None:
    """A stage on its slice: threads and GPU memory are set before anything heavy starts."""
    store, piece = Store(job.url), job.piece
    store.check_mark(job.mark)  # nodes that come later are checked here
    import torch

    from sweeps.worker import accompany, execute
    from vpbsd.ranks import rank

    torch.set_num_threads(piece.cpus)
    if piece.gpus and torch.cuda.is_available():
        if piece.ranks > 1:
            from ray.train.torch import get_device

            torch.cuda.set_device(get_device())
        torch.cuda.set_per_process_memory_fraction(min(piece.gpus, 1.0))
    if rank() > 0:
        accompany(job.ticket, store)
        return

    def report(first: int, rows: list[dict[str, float | str]], share: float) -> None:
        job.conductor.report.remote(job.ticket.key, first, rows, share)

    report(0, [], 0.0)
    execute(job.ticket, store, report)


def conductor_name(url: str) -> str:
    """One conductor per store on a cluster, shared by all drivers."""
    return "conductor-" + hashlib.sha256(url.encode()).hexdigest()[:12]


def _submit(job: Job) -> Any:  # noqa: ANN401 (an object reference)
    piece = job.piece
    alone = piece.ranks == 1  # else the processes hold what they need, and their task nothing
    cpus, gpus = (piece.cpus, piece.gpus) if alone else (0, 0)
    options = {"num_cpus": cpus, "num_gpus": gpus, "name": job.ticket.label}
    return run_stage.options(**options).remote(job)


def line(error: BaseException) -> str:
    """The last line that an error has to say, with its kind."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"
