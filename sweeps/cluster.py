"""The one file that imports ray: stages as tasks on slices, single flight, trials that wait.

The conductor, a named and detached actor, submits and owns every stage task. However many trials
want a stage, it runs once. A trial is a coordinator that asks for its stages in order and waits,
holding neither a GPU nor a core. Neither imports torch; only stage tasks do.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("RAY_AUTH_MODE", "token")  # one mode on every node and in every script
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # MLflow holds the records
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray  # noqa: E402 (its mode is read from the environment at import)
from ray import tune  # noqa: E402
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError  # noqa: E402

from sweeps.store import Damaged, Store  # noqa: E402
from sweeps.tickets import Order, Ticket  # noqa: E402

NAMESPACE = "vpbsd"
HEAD_ON_THIS_HOST = Path("/tmp/ray/ray_current_cluster")  # written by `ray start --head`
OBJECT_STORE_BYTES = 256 * 2**20  # rows and tickets only: weights go through the store
COORDINATOR_CPU = 0.0001  # Tune wants something; hundreds of trials still leave every core free
SPARED_CPU = 0.01  # what a stage asks less than whole cores, so that coordinators fit beside it
SYSTEM_RETRIES = 20  # lost workers and nodes; a stage resumes from its checkpoint each time
FlightState = Literal["queued", "running", "stored", "failed", "again"]


@dataclass(frozen=True)
class Slice:
    """What a stage of one family gets.

    Attributes:
        cpus: Whole cores, and threads.
        gpus: Share of one GPU, or 0; memory is capped to it.
        lane: Stages that share a lane run one after the other; None: as many as fit.
    """

    cpus: int = 1
    gpus: float = 0.0
    lane: str | None = None


@dataclass
class Flight:
    """One stage on its way, and who waits for it."""

    ticket: Ticket
    session: str
    state: FlightState = "queued"
    share: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    waiting: set[str] = field(default_factory=set)
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
        self._url, self._store, self._slices = store_url, Store(store_url), slices
        self._flights: dict[str, Flight] = {}
        self._lanes = {s.lane: asyncio.Lock() for s in slices.values()}

    async def want(self, ticket: Ticket, trial: str, session: str) -> None:
        """A trial waits for a stage from now on; the first one sets it going."""
        flight = self._flights.get(ticket.key)
        if flight is None or await self._stale(flight, session):
            flight = self._flights[ticket.key] = Flight(ticket, session)
            flight.task = asyncio.create_task(self._fly(flight))
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
        """A running stage tells of new rows; a resumed one may tell some again."""
        flight = self._flights.get(key)
        if flight is None:
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
        async with self._lane(ticket.family):
            me = ray.get_runtime_context().current_actor
            flight.ref = _submit(ticket, self._url, self._slices[ticket.family], me)
            try:
                await flight.ref
            except RayTaskError as error:
                self._failed(flight, error.cause)
            except TaskCancelledError:
                flight.tell("again", "cancelled")
            except Exception as error:  # a lost worker beyond all retries, and the like
                flight.tell("failed", _line(error))
            else:
                flight.share = 1.0
                flight.tell("stored")

    def _failed(self, flight: Flight, cause: BaseException) -> None:
        """A damaged or vanished input is made anew; anything else fails the trials."""
        if isinstance(cause, (Damaged, FileNotFoundError)):
            for key in flight.ticket.upstream.values():
                self._flights.pop(key, None)
            flight.tell("again", _line(cause))
        else:
            flight.tell("failed", _line(cause))

    @asynccontextmanager
    async def _lane(self, family: str) -> AsyncIterator[None]:
        lane = self._slices[family].lane
        if lane is None:
            yield
            return
        async with self._lanes[lane]:
            yield


@ray.remote(max_retries=SYSTEM_RETRIES)  # type: ignore[untyped-decorator]
def run_stage(ticket: Ticket, store_url: str, piece: Slice, conductor: Any) -> None:  # noqa: ANN401
    """One stage on its slice: threads and GPU memory are set before anything heavy starts."""
    import torch

    from sweeps.worker import execute

    torch.set_num_threads(piece.cpus)
    if piece.gpus and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(min(piece.gpus, 1.0))

    def report(first: int, rows: list[dict[str, float | str]], share: float) -> None:
        conductor.report.remote(ticket.key, first, rows, share)

    conductor.report.remote(ticket.key, 0, [], 0.0)
    execute(ticket, Store(store_url), report)


def coordinate(config: dict[str, Any], orders: dict[str, Order], url: str, session: str) -> None:
    """The trainable: asks for each stage of a trial, passes its rows on, holds nothing."""
    order = orders[config["trial"]]
    conductor = ray.get_actor(conductor_name(url), NAMESPACE)
    done = 0
    while done < len(order.tickets):
        ticket = order.tickets[done]
        state, reason = _follow(conductor, ticket, order.trial, session)
        if state == "failed":
            tune.report({"outcome": "failed", "reason": f"{ticket.label}: {reason}"})
            return
        done = done + 1 if state == "stored" else 0  # again: an input vanished, start over
    tune.report({"outcome": "finished", "reason": ""})


def _follow(
    conductor: Any,  # noqa: ANN401 (an actor handle)
    ticket: Ticket,
    trial: str,
    session: str,
) -> tuple[FlightState, str]:
    """Waits for one stage, reporting its rows to Tune; lets go of it if Tune stops the trial."""
    rows = 0
    try:
        ray.get(conductor.want.remote(ticket, trial, session))
        while True:
            news: News = ray.get(conductor.watch.remote(ticket.key, rows))
            for row in news.rows:
                rows += 1
                tune.report({"outcome": "running", "stage": ticket.label, **row})
            if news.state in ("stored", "failed", "again"):
                return news.state, news.reason
    except RayActorError:
        time.sleep(2)  # the conductor is being rebuilt; the store knows what is done
        return "again", "the conductor was lost"
    except SystemExit:
        conductor.leave.remote(ticket.key, trial)
        raise


def connect(cpus: int | None = None, *, local: bool = False) -> None:
    """Joins the cluster at RAY_ADDRESS or a head on this host, else starts a local Ray.

    A head is what `ray start --head` left; another program's own local Ray is none, and it would
    end with that program.

    Args:
        cpus: Cores of a local Ray; all by default.
        local: Always start one, whatever else runs on this host.
    """
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "namespace": NAMESPACE,
    }
    if not local and ("RAY_ADDRESS" in os.environ or HEAD_ON_THIS_HOST.exists()):
        ray.init(**quiet)
        return
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    ray.init(address="local", num_cpus=cpus, **quiet, **own)


def default_slices() -> dict[str, Slice]:
    """Slices for the cluster at hand: shares of a GPU where there is one, else one core each.

    On cores only, one teacher stage runs at a time: it alone takes a gigabyte or two.
    """
    if ray.cluster_resources().get("GPU", 0) >= 1:
        return {
            "pre-training": Slice(2, 1.0),
            "fine-tuning": Slice(2, 1.0),
            "targets": Slice(1, 0.5),
            "student": Slice(1, 0.25),
            "evaluation": Slice(1, 0.25),
        }
    teacher = Slice(1, 0.0, lane="teacher")
    return {
        "pre-training": teacher,
        "fine-tuning": teacher,
        "targets": Slice(),
        "student": Slice(),
        "evaluation": Slice(),
    }


def side_by_side(slices: dict[str, Slice]) -> int:
    """Students that fit on the cluster at a time."""
    student, have = slices["student"], ray.cluster_resources()
    fits = int(have.get("CPU", 1)) // student.cpus
    return max(1, min(fits, int(have["GPU"] / student.gpus)) if student.gpus else fits)


def describe() -> str:
    """The cluster in words."""
    have = ray.cluster_resources()
    gpus = f", {have['GPU']:.0f} GPUs" if have.get("GPU") else ", no GPU"
    return f"{have.get('CPU', 0):.0f} cores{gpus}"


def run_trials(
    orders: list[Order],
    store: Store,
    slices: dict[str, Slice],
    at_once: int,
    watch: Callable[[list[View]], None],
) -> dict[str, tuple[str, str]]:
    """Runs all trials of a study under Tune and returns (outcome, reason) of each.

    An outcome is finished, failed or interrupted: Tune answers Ctrl-C by stopping in good order.

    Args:
        orders: The trials.
        store: Where stages are looked up and committed.
        slices: Per family.
        at_once: Most trials alive at a time.
        watch: Called every second or two with all flights, from a thread of its own.
    """
    session = os.urandom(8).hex()
    conductor = (
        ray.remote(Conductor)
        .options(
            name=conductor_name(store.url),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
        )
        .remote(store.url, slices)
    )
    with _watching(conductor, session, watch), tempfile.TemporaryDirectory() as room:
        results = _tuner(orders, store.url, session, at_once, room).fit()
    outcomes = {order.trial: ("interrupted", "") for order in orders}
    for result in results:
        metrics = result.metrics or {}  # none where a trial never began
        if metrics.get("outcome") in ("finished", "failed"):
            told = (str(metrics["outcome"]), str(metrics["reason"]))
            outcomes[metrics["config"]["trial"]] = told
        elif result.error:
            outcomes[metrics["config"]["trial"]] = ("failed", _line(result.error))
    return outcomes


def conductor_name(url: str) -> str:
    """One conductor per store on a cluster, shared by all drivers."""
    return "conductor-" + hashlib.sha256(url.encode()).hexdigest()[:12]


def _tuner(orders: list[Order], url: str, session: str, at_once: int, room: str) -> tune.Tuner:
    trainable = tune.with_parameters(
        coordinate, orders={o.trial: o for o in orders}, url=url, session=session
    )
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": COORDINATOR_CPU}),
        param_space={"trial": tune.grid_search([order.trial for order in orders])},
        tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=room,
            name="trials",
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=SYSTEM_RETRIES),
        ),
    )


class _watching:  # noqa: N801 (used as a with-statement)
    """Within, `watch` hears of all flights every second or two."""

    def __init__(
        self,
        conductor: Any,  # noqa: ANN401 (an actor handle)
        session: str,
        watch: Callable[[list[View]], None],
    ) -> None:
        self._conductor, self._session, self._watch = conductor, session, watch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1.5):
            try:
                views = ray.get(self._conductor.overview.remote(self._session))
            except RayActorError:
                continue  # it is being rebuilt
            self._watch(views)


def _submit(
    ticket: Ticket,
    url: str,
    piece: Slice,
    conductor: Any,  # noqa: ANN401 (an actor handle)
) -> Any:  # noqa: ANN401 (an object reference)
    cpus = piece.cpus - SPARED_CPU
    options = {"num_cpus": cpus, "num_gpus": piece.gpus, "name": ticket.label}
    return run_stage.options(**options).remote(ticket, url, piece, conductor)


def _line(error: BaseException) -> str:
    """The last line that an error has to say, with its kind."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else 'no message'}"
