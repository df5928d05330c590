"""The scheduler when its store fails, its callers race, and its drivers die; without a cluster."""

import asyncio
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from vpbsd_sweeps import patience
from vpbsd_sweeps.execution import scheduler
from vpbsd_sweeps.execution.events import StageState
from vpbsd_sweeps.execution.jobs import Job, Waiter
from vpbsd_sweeps.execution.scheduler import StageScheduler
from vpbsd_sweeps.execution.slices import Slice, SliceTooSmall
from vpbsd_sweeps.store.results import Absent

A, B = Waiter("session a", "trial-0"), Waiter("session b", "trial-0")
SLICES = {family: Slice() for family in ("student", "fine-tuning")}


def job(key, family="student", **upstream):
    return Job(key, family, key, upstream, "", "")


class FlakyStore:
    """Fails so many times before it answers that nothing is stored, or what is."""

    def __init__(self, failures=0, stored=()):
        self.left, self.stored, self.asked = failures, set(stored), 0

    def state(self, key):
        self.asked += 1
        if self.left:
            self.left -= 1
            raise OSError("503 Service Unavailable")
        return "stored" if key in self.stored else "absent"

    files = SimpleNamespace(mark=lambda: "", sizes=lambda folder: {})


@pytest.fixture
def world(monkeypatch):
    """A scheduler over a store; every task that it submits is kept in `world.tasks`."""

    class World:
        tasks, cancelled = [], []

        def build(self, store):
            self.store = store
            monkeypatch.setattr(scheduler, "Store", lambda url: store)
            return StageScheduler("url", SLICES)

    found = World()
    World.tasks, World.cancelled = [], []

    def submit(task):
        future = asyncio.get_running_loop().create_future()
        found.tasks.append((task.job.key, future))
        return future

    def cancel(future):
        found.cancelled.append(future)
        future.cancel()

    monkeypatch.setattr(scheduler, "submit", submit)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(scheduler.ray, "cancel", cancel)
    here = SimpleNamespace(current_actor=None)
    monkeypatch.setattr(scheduler.ray, "get_runtime_context", lambda: here)
    return found


async def soon(true, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def test_a_store_that_fails_for_a_while_costs_nothing_but_time(world):
    async def main():
        chief = world.build(FlakyStore(failures=3))
        await chief.request(job("k"), A)
        await soon(lambda: world.tasks)
        world.tasks[0][1].set_result(None)
        return await chief.updates("k", A, 0)

    assert asyncio.run(main()).state is StageState.STORED
    assert world.store.asked == 4


def test_a_store_that_fails_for_good_ends_the_stage_with_its_reason(world, monkeypatch):
    monkeypatch.setenv("VPBSD_STORE_PATIENCE", "0.05")

    async def main():
        chief = world.build(FlakyStore(failures=10**6))
        await chief.request(job("k"), A)
        return await chief.updates("k", A, 0)

    update = asyncio.run(main())
    assert update.state is StageState.FAILED
    assert update.reason == "OSError: 503 Service Unavailable"


def test_a_stage_whose_task_dies_without_a_word_is_not_waited_for(world, monkeypatch):
    """Whatever it dies of: here of an end that no handler of ours expects."""

    async def dies(self, stage):
        raise asyncio.CancelledError

    monkeypatch.setattr(StageScheduler, "_attempt", dies)

    async def main():
        chief = world.build(FlakyStore())
        await chief.request(job("k"), A)
        return await chief.updates("k", A, 0)

    assert asyncio.run(main()).state is StageState.FAILED


def test_many_requests_at_once_run_a_stage_once(world):
    """Also where an earlier result has vanished, and each of them must look first."""

    async def main():
        chief = world.build(FlakyStore(stored=["k"]))
        await chief.request(job("k"), A)
        assert (await chief.updates("k", A, 0)).state is StageState.STORED
        world.store.stored.clear()
        waiters = [Waiter("session", f"trial-{n}") for n in range(6)]
        await asyncio.gather(*(chief.request(job("k"), waiter) for waiter in waiters))
        await soon(lambda: world.tasks)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert [key for key, _ in world.tasks] == ["k"]


def test_an_input_that_is_made_again_already_is_not_lost(world):
    """Two students miss one teacher: the second to say so must not undo what the first began."""

    async def main():
        chief = world.build(FlakyStore(stored=["t"]))
        await chief.request(job("t", "fine-tuning"), A)
        for key in ("s1", "s2"):
            await chief.request(job(key, start="t"), A)
        await soon(lambda: len(world.tasks) == 2)
        assert (await chief.updates("t", A, 0)).state is StageState.STORED
        world.store.stored.clear()
        gone = RayTaskError("run_stage", "", Absent("no result t"))
        world.tasks[0][1].set_exception(gone)
        await soon(lambda: chief._stages["s1"].state is StageState.AGAIN)
        await chief.request(job("t", "fine-tuning"), A)
        await soon(lambda: len(world.tasks) == 3)
        world.tasks[1][1].set_exception(gone)
        await soon(lambda: chief._stages["s2"].state is StageState.AGAIN)
        await chief.request(job("t", "fine-tuning"), B)
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert [key for key, _ in world.tasks].count("t") == 1


def test_a_trial_of_one_driver_does_not_release_that_of_another(world):
    """Both drivers call theirs trial-0."""

    async def main():
        chief = world.build(FlakyStore())
        await chief.request(job("k"), A)
        await chief.request(job("k"), B)
        await soon(lambda: world.tasks)
        await chief.release("k", A)
        assert not world.cancelled
        await chief.release("k", B)

    asyncio.run(main())
    assert len(world.cancelled) == 1


def test_what_a_killed_driver_waited_for_is_stopped_and_nothing_of_it_begins(world, monkeypatch):
    monkeypatch.setattr(scheduler, "SILENCE", 0.3)

    async def main():
        chief = world.build(FlakyStore())
        await chief.request(job("k"), A)
        await chief.request(job("both"), A)
        await chief.request(job("both"), B)
        await soon(lambda: len(world.tasks) == 2)
        for _ in range(20):  # b goes on asking
            await chief.statuses(B.session)
            await asyncio.sleep(0.05)
        return [status.key for status in await chief.statuses(B.session)]

    assert asyncio.run(main()) == ["both"]
    assert world.cancelled == [future for key, future in world.tasks if key == "k"]


def test_a_preempted_stage_is_followed_epoch_by_epoch(world, monkeypatch):
    """It is lost after epoch 5 and goes on from its checkpoint of epoch 3: rows 4 and 5 again."""
    monkeypatch.setattr(scheduler, "PATIENCE", 0.01)
    rows = [{"epoch": float(n), "val/dsc": n / 10} for n in range(1, 9)]

    async def main():
        chief, seen = world.build(FlakyStore()), []

        async def follow():
            update = await chief.updates("k", A, len(seen))
            seen.extend(update.rows)

        await chief.request(job("k"), A)
        await soon(lambda: world.tasks)
        await chief.report("k", 0, [], 0.0)
        for n in range(5):
            await chief.report("k", n, rows[n : n + 1], (n + 1) / 8)
            await follow()
        await chief.report("k", 0, [], 0.0)  # another worker
        await follow()
        await chief.report("k", 0, rows[:4], 4 / 8)
        await follow()
        for n in range(4, 8):
            await chief.report("k", n, rows[n : n + 1], (n + 1) / 8)
            await follow()
        return seen

    assert asyncio.run(main()) == rows


def test_a_family_keeps_the_largest_share_that_one_of_its_stages_asked_for(world):
    """Two run out of memory side by side, and the one that needs less says so last."""

    async def main():
        chief = world.build(FlakyStore())
        chief.use({"student": Slice(1, 0.25)})
        for key in ("a", "b"):
            await chief.request(job(key), A)
        await soon(lambda: len(world.tasks) == 2)
        for (_, future), share in zip(list(world.tasks), (0.9, 0.5), strict=True):
            future.set_exception(RayTaskError("run_stage", "", SliceTooSmall("small", share)))
        await soon(lambda: len(world.tasks) == 4)
        return chief._slices["student"].gpus

    assert asyncio.run(main()) == 0.9
