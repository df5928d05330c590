"""Turns and retries of the scheduler, without a cluster."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from vpbsd_sweeps.execution import scheduler
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.execution.scheduled_stage import ScheduledStage
from vpbsd_sweeps.execution.scheduler import StageScheduler
from vpbsd_sweeps.execution.slices import Slice, SliceTooSmall
from vpbsd_sweeps.store.results import Absent

WAITER, OTHER = Waiter("session", "trial"), Waiter("session", "other")


def job(key, family="student"):
    return Job(key, family, "", {}, "", "")


def run(monkeypatch, slices, causes):
    """A stage whose attempts end as told; returns the slices they had, and the stage."""
    had, left = [], list(causes)

    async def attempt():
        cause = left.pop(0)
        if cause is not None:
            raise RayTaskError("run_stage", "", cause)

    def submit(task):
        had.append(task.piece)
        return attempt()

    class Empty:
        def state(self, key):
            return "absent"

        files = SimpleNamespace(mark=lambda: "", sizes=lambda folder: {})

    monkeypatch.setattr(scheduler, "submit", submit)
    monkeypatch.setattr(scheduler, "Store", lambda url: Empty())
    here = SimpleNamespace(current_actor=None)
    monkeypatch.setattr(scheduler.ray, "get_runtime_context", lambda: here)
    stage = ScheduledStage(job("k"), "session")

    async def main():
        await StageScheduler("url", slices)._run(stage)

    asyncio.run(main())
    return had, stage


def test_out_of_memory_is_tried_once_more_in_twice_the_slice(monkeypatch):
    quarter, half = Slice(1, 0.25), Slice(1, 0.5)
    oom = SliceTooSmall("CUDA out of memory", 0.4)
    had, stage = run(monkeypatch, {"student": quarter}, [oom, None])
    assert (had, stage.state) == ([quarter, half], "stored")
    had, stage = run(monkeypatch, {"student": quarter}, [oom, oom])
    assert (had, stage.state) == ([quarter, half], "failed")
    assert "CUDA out of memory" in stage.reason
    most = SliceTooSmall("CUDA out of memory", 0.7)
    had, stage = run(monkeypatch, {"student": quarter}, [most, None])
    assert (had, stage.state) == ([quarter, Slice(1, 0.7)], "stored"), "a half would not do"


def test_another_drivers_slices_are_used_from_then_on(monkeypatch):
    """A final training over several GPUs finds the scheduler that an ablation has left."""
    monkeypatch.setattr(scheduler, "Store", lambda url: None)

    async def main():
        chief = StageScheduler("url", {"student": Slice(1, 0.25)})
        chief.use({"student": Slice(1, 1.0, ranks=4)})
        return chief._slices["student"]

    assert asyncio.run(main()) == Slice(1, 1.0, ranks=4)


def test_a_vanished_input_is_made_again_and_a_missing_volume_is_not(monkeypatch):
    """The volume would be missing the next time too, and the stage be tried for ever."""
    _, stage = run(monkeypatch, {"student": Slice()}, [Absent("no result a1")])
    assert (stage.state, stage.reason) == ("again", "Absent: no result a1")
    _, stage = run(monkeypatch, {"student": Slice()}, [FileNotFoundError("no v0")])
    assert (stage.state, stage.reason) == ("failed", "FileNotFoundError: no v0")


def test_nothing_else_is_tried_again(monkeypatch):
    had, stage = run(monkeypatch, {"student": Slice(1, 0.25)}, [ValueError("no")])
    assert (len(had), stage.state, stage.reason) == (1, "failed", "ValueError: no")
    had, stage = run(monkeypatch, {"student": Slice(1, 1.0)}, [SliceTooSmall("full", 2.0)])
    assert (len(had), stage.state) == (1, "failed")


def test_news_that_come_after_the_end_change_nothing(monkeypatch):
    """Seen: a stored stage that a late report called running held its trial for ever."""

    class Stored:
        def state(self, key):
            return "stored"

    monkeypatch.setattr(scheduler, "Store", lambda url: Stored())

    async def main():
        chief = StageScheduler("url", {"student": Slice()})
        for waiter in (WAITER, OTHER):
            await chief.request(job("k"), waiter)
        await chief.updates("k", OTHER, 0)
        await chief.report("k", 0, [{"epoch": 1.0}], 0.5)
        return await chief.updates("k", WAITER, 0)

    assert asyncio.run(main()).state == "stored"


def test_what_an_interrupted_driver_waited_for_is_stopped_and_not_begun_again(monkeypatch):
    """What another driver waits for, too, goes on."""
    monkeypatch.setattr(scheduler, "Store", lambda url: None)

    async def main():
        chief = StageScheduler("url", {})
        monkeypatch.setattr(chief, "_run", lambda stage: asyncio.sleep(3600))
        await chief.request(job("alone"), WAITER)
        await chief.request(job("shared"), WAITER)
        await chief.request(job("shared"), Waiter("elsewhere", "trial"))
        alone = chief._stages["alone"].task
        await chief.dismiss("session")
        assert set(chief._stages) == {"shared"}
        with suppress(asyncio.CancelledError):
            await alone
        assert alone.cancelled()
        with pytest.raises(scheduler.Dismissed):
            await chief.request(job("alone"), OTHER)
        assert set(chief._stages) == {"shared"}

    asyncio.run(main())
