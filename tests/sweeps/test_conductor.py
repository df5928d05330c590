"""Turns and retries of the conductor, without a cluster."""

import asyncio
from types import SimpleNamespace

from ray.exceptions import RayTaskError

from sweeps import conductor
from sweeps.conductor import Conductor, Flight, Lane
from sweeps.slices import Slice
from sweeps.store import Absent
from sweeps.tickets import Ticket


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def fly(monkeypatch, slices, causes):
    """A flight whose attempts end as told; returns the slices they had, and the flight."""
    had, left = [], list(causes)

    async def attempt():
        cause = left.pop(0)
        if cause is not None:
            raise RayTaskError("run_stage", "", cause)

    def submit(job):
        had.append(job.piece)
        return attempt()

    class Empty:
        def state(self, key):
            return "absent"

        def mark(self):
            return ""

    monkeypatch.setattr(conductor, "_submit", submit)
    monkeypatch.setattr(conductor, "Store", lambda url: Empty())
    here = SimpleNamespace(current_actor=None)
    monkeypatch.setattr(conductor.ray, "get_runtime_context", lambda: here)
    flight = Flight(Ticket("k", "student", "s", {}, b""), "session")

    async def main():
        await Conductor("url", slices)._fly(flight)

    asyncio.run(main())
    return had, flight


def queue(*ranks, drop=None):
    """The order in which flights of these ranks get their turn; one of them may give up."""
    order = []

    async def ride(lane, rank):
        flight = Flight(Ticket(str(rank), "fine-tuning", "", {}, b""), "session", rank=rank)
        async with lane.turn(flight):
            order.append(rank)
            await asyncio.sleep(0.01)

    async def main():
        lane = Lane()
        rides = {rank: asyncio.create_task(ride(lane, rank)) for rank in ranks}
        if drop is not None:
            await asyncio.sleep(0)
            rides[drop].cancel()
        await asyncio.wait_for(asyncio.gather(*rides.values(), return_exceptions=True), 20)

    asyncio.run(main())
    return order


def test_the_most_urgent_stage_of_a_lane_comes_first(monkeypatch):
    monkeypatch.setattr(conductor, "SETTLE", 0.05)
    assert queue(2, 0, 1) == [0, 1, 2]
    assert queue(2, 0, 1, drop=0) == [1, 2], "one that gives up holds nobody up"


def test_out_of_memory_is_tried_once_more_in_twice_the_slice(monkeypatch):
    quarter, half = Slice(1, 0.25), Slice(1, 0.5)
    oom = OutOfMemoryError("CUDA out of memory")
    had, flight = fly(monkeypatch, {"student": quarter}, [oom, None])
    assert (had, flight.state) == ([quarter, half], "stored")
    had, flight = fly(monkeypatch, {"student": quarter}, [oom, oom])
    assert (had, flight.state) == ([quarter, half], "failed")
    assert "CUDA out of memory" in flight.reason


def test_another_drivers_slices_are_used_from_then_on(monkeypatch):
    """A final training over several GPUs finds the conductor that an ablation has left."""
    monkeypatch.setattr(conductor, "Store", lambda url: None)

    async def main():
        chief = Conductor("url", {"student": Slice(1, 0.25)})
        chief.use({"student": Slice(1, 1.0, ranks=4), "targets": Slice(lane="new")})
        async with chief._lane(Flight(Ticket("k", "targets", "t", {}, b""), "session")):
            return chief._slices["student"]

    assert asyncio.run(main()) == Slice(1, 1.0, ranks=4)


def test_a_vanished_input_is_made_again_and_a_missing_volume_is_not(monkeypatch):
    """The volume would be missing the next time too, and the stage be tried for ever."""
    _, flight = fly(monkeypatch, {"student": Slice()}, [Absent("no result a1")])
    assert (flight.state, flight.reason) == ("again", "Absent: no result a1")
    _, flight = fly(monkeypatch, {"student": Slice()}, [FileNotFoundError("no v0")])
    assert (flight.state, flight.reason) == ("failed", "FileNotFoundError: no v0")


def test_nothing_else_is_tried_again(monkeypatch):
    had, flight = fly(monkeypatch, {"student": Slice(1, 0.25)}, [ValueError("no")])
    assert (len(had), flight.state, flight.reason) == (1, "failed", "ValueError: no")
    had, flight = fly(monkeypatch, {"student": Slice(1, 1.0)}, [OutOfMemoryError("full")])
    assert (len(had), flight.state) == (1, "failed")


def test_news_that_come_after_the_end_change_nothing(monkeypatch):
    """Seen: a stored stage that a late report called running held its trial for ever."""

    class Stored:
        def state(self, key):
            return "stored"

    monkeypatch.setattr(conductor, "Store", lambda url: Stored())

    async def main():
        chief = Conductor("url", {"student": Slice()})
        await chief.want(Ticket("k", "student", "s", {}, b""), "trial", "session")
        await chief.watch("k", 0)
        await chief.report("k", 0, [{"epoch": 1.0}], 0.5)
        return await chief.watch("k", 0, patience=0.01)

    assert asyncio.run(main()).state == "stored"
