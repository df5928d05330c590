"""A cluster as a program of its own, without Ray: a scheduler whose workers are threads.

test_stage_leases.py runs two of them on one store, and kills them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from ray.exceptions import RayTaskError

from tests.sweeps.toys import Toy
from vpbsd_sweeps.execution import scheduler
from vpbsd_sweeps.execution.jobs import Waiter, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.tasks import StageTask, run_stage
from vpbsd_sweeps.store import lease

EPOCHS, STAGES = 5, 4
SLICES = asyncio.Semaphore(2)


def toys(home: Path) -> list[Toy]:
    """Makes so many stages without inputs; with home's log of epochs."""
    log = home / "epochs.log"
    return [Toy(f"stage{n}", log, epochs=EPOCHS, seconds=0.3) for n in range(STAGES)]


class Chief:
    """The scheduler as workers see it: calls of a remote actor, from threads."""

    def __init__(self, real: scheduler.StageScheduler) -> None:
        loop = asyncio.get_running_loop()

        def remote(*words: object) -> None:
            asyncio.run_coroutine_threadsafe(real.report(*words), loop)

        self.report = SimpleNamespace(remote=remote)


async def attempt(task: StageTask) -> bool:
    """Runs a stage on one of two slices, as Ray would."""
    async with SLICES:
        try:
            return await asyncio.to_thread(run_stage._function, task)
        except Exception as error:
            raise RayTaskError("run_stage", "", error) from error


async def main(home: Path, name: str) -> None:
    """Trains all stages; prints rows as they are heard, and in the end the state of each."""
    lease.machine = lambda: name  # as if on another host: nobody sees whether its pid lives
    chief = scheduler.StageScheduler(str(home / "store"), {"student": Slice()})
    context = SimpleNamespace(current_actor=Chief(chief))
    scheduler.ray.get_runtime_context = lambda: context
    scheduler.submit = lambda task: asyncio.ensure_future(attempt(task))

    async def follow(toy: Toy) -> str:
        job, me, seen = job_of(toy), Waiter(name, toy.label), 0
        await chief.request(job, me)
        while True:
            update = await chief.updates(job.key, me, seen)
            seen += len(update.rows)
            if update.rows:
                print(f"{toy.label} {seen}", flush=True)
            if update.state.is_final:
                return f"{update.state} {update.reason}".strip()

    print("begins", flush=True)
    print(await asyncio.gather(*map(follow, toys(home))), flush=True)


if __name__ == "__main__":
    os.environ["VPBSD_CHECKPOINT_SECONDS"] = "0"
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
