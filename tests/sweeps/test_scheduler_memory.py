"""What the scheduler keeps of stages that have ended; without a cluster."""

import asyncio
import time

import pytest

from vpbsd_sweeps.execution import scheduler
from vpbsd_sweeps.execution.client import watching
from vpbsd_sweeps.execution.events import StageState
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.execution.scheduler import StageScheduler
from vpbsd_sweeps.execution.slices import Slice

ROWS = [{"epoch": float(n), "value": 0.5} for n in range(5)]


class Everything:
    """A store that has all results, or fails."""

    def __init__(self, *failing):
        self.failing, self.asked = failing, 0

    def state(self, key):
        self.asked += 1
        if key in self.failing:
            raise OSError(f"{key} cannot be read")
        return "stored"


@pytest.fixture
def build(monkeypatch):
    def made(*failing):
        monkeypatch.setenv("VPBSD_STORE_PATIENCE", "0")
        monkeypatch.setattr(scheduler, "Store", lambda url: Everything(*failing))
        return StageScheduler("url", {"student": Slice()})

    return made


async def follow(chief, key, waiter):
    await chief.request(Job(key, "student", key, {}, "", ""), waiter)
    return await chief.updates(key, waiter, 0)


def test_stages_that_have_ended_are_dropped_and_shown_once(build):
    """Kept, each took hundreds of kilobytes: 10,000 of them were more than the head had."""

    async def main():
        chief = build()
        for n in range(30):
            me = Waiter("session", f"trial-{n % 3}")
            assert (await follow(chief, f"stage{n}", me)).state is StageState.STORED
        assert chief._stages == {}
        first, second = [await chief.statuses("session") for _ in "ab"]
        assert {status.key for status in first} == {f"stage{n}" for n in range(30)}
        assert {status.state for status in first} == {StageState.STORED}
        assert second == []

    asyncio.run(main())


def test_one_that_is_waited_for_by_two_is_kept_until_both_were_told(build):
    async def main():
        chief, waiters = build(), [Waiter("a", "trial"), Waiter("b", "trial")]
        job = Job("k", "student", "k", {}, "", "")
        for waiter in waiters:
            await chief.request(job, waiter)
        for waiter in waiters:
            assert "k" in chief._stages
            assert (await chief.updates("k", waiter, 0)).state is StageState.STORED
            assert [status.key for status in await chief.statuses(waiter.session)] == ["k"]
        assert chief._stages == {}

    asyncio.run(main())


def test_a_failure_is_remembered_without_its_rows_while_its_driver_lives(build, monkeypatch):
    async def main():
        chief = build("k")
        await chief.request(Job("k", "student", "k", {}, "", ""), Waiter("session", "trial-0"))
        chief._stages["k"].rows = list(ROWS)
        while not chief._stages["k"].state.is_final:
            await asyncio.sleep(0.01)
        update = await chief.updates("k", Waiter("session", "trial-0"), 2)
        assert (update.state, update.rows) == (StageState.FAILED, ROWS[2:])
        assert chief._stages["k"].rows == []
        again = await follow(chief, "k", Waiter("session", "trial-1"))
        assert (again.state, again.reason) == (StageState.FAILED, update.reason)
        assert chief._store.asked == 1, "it is known, and tried no second time"
        chief._watchdog.cancel()  # it sleeps for minutes; in a silence as long, the driver is gone
        monkeypatch.setattr(scheduler, "SILENCE", 0.01)
        watchdog = asyncio.create_task(chief._forget_the_silent())
        async with asyncio.timeout(60):
            while chief._heard:
                await asyncio.sleep(0.01)
        watchdog.cancel()
        assert chief._stages == chief._ended == {}

    asyncio.run(main())


def test_a_display_is_shown_what_has_ended_again_and_again(build, monkeypatch):
    """The scheduler tells it once, be it that the display fails just then."""
    chief, shown = build(), []
    monkeypatch.setattr("vpbsd_sweeps.execution.client.LOOK_EVERY", 0.01)
    monkeypatch.setattr("vpbsd_sweeps.execution.client.ray.get", asyncio.run)

    class Handle:
        class statuses:  # noqa: N801 (a method of an actor)
            remote = staticmethod(chief.statuses)

    async def two():
        for key in ("k", "l"):
            await follow(chief, key, Waiter("session", "trial"))

    asyncio.run(two())

    def watch(stages):
        shown.append([stage.key for stage in stages])
        if len(shown) == 1:
            raise OSError("a display that fails once")

    with watching(Handle, "session", watch):
        deadline = time.monotonic() + 60
        while len(shown) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert shown[:3] == [["k", "l"]] * 3
