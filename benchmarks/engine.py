"""What the machinery costs: plans on S3, trials under Tune, memory; stages do nothing here.

    python -m benchmarks.engine plan --stages 2000          # a plan of stored stages on S3
    python -m benchmarks.engine trials --trials 10 100 300  # against empty trials of Ray Tune
    python -m benchmarks.engine memory --trials 20          # of processes while so many wait

S3 is moto in a process of its own, each of whose answers takes 20 ms more than it would. Trials of
one stage run on a local Ray; those of Tune alone report once and end. The scheduler is the same
process for all numbers of trials, so that what it keeps adds up.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.sweeps.toys import Toy
from tests.test_stage_keys import info
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.store.manifest import Entry, Manifest
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study

SECONDS = 0.02
NOTHING = Entry(size=2, sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
FILES = ("rows.json", "stage.json", "summary.json", "system_metrics.json", "weights.safetensors")
FACTS = {"family": "student", "label": "nothing", "seconds": 1.0, "finished": 1e9, "void": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["plan", "trials", "memory"])
    parser.add_argument("--stages", type=int, default=2000)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 300])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that S3 takes to answer")
    given = parser.parse_args()
    if given.what == "plan":
        plan(given.stages, given.seconds)
    elif given.what == "trials":
        trials(given.trials)
    else:
        memory(given.trials[0])


def plan(stages: int, seconds: float) -> None:
    """Prints what a plan of so many stored stages takes."""
    volumes = tuple(info(n, labelled=True) for n in range(10))
    settings = override(laptop(), {"protocol.folds": 5})
    study = Study("engine", settings, volumes, ("light_unet",), tuple(range(stages // 10)))
    keys = [stage.key for stage in study.stages()]
    with s3(keys, seconds) as answered:
        began, before, cpu = time.monotonic(), answered(), time.process_time()
        made = make_plan(study, Store("s3://results/store"))
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        time.sleep(0.5)
    assert not made.inventory.missing
    print(
        f"a plan of {len(keys)} stages: {took:.1f} s ({cpu:.1f} s of them work), "
        f"{answered() - before} requests"
    )


@contextmanager
def s3(keys: list[str], seconds: float) -> Iterator[Callable[[], int]]:
    """Runs an S3 that holds results of these keys; yields what counts its requests."""
    ready, stop, answered = (
        multiprocessing.Queue(),
        multiprocessing.Event(),
        multiprocessing.Value("i", 0),
    )
    args = (keys, seconds, ready, stop, answered)
    server = multiprocessing.Process(target=serve, args=args)
    server.start()
    os.environ.update(ready.get())
    try:
        yield lambda: answered.value
    finally:
        stop.set()
        server.join()


def serve(keys: list[str], seconds: float, ready: Any, stop: Any, answered: Any) -> None:  # noqa: ANN401
    """Fills an S3 past its protocol, then answers."""
    from moto.s3.models import s3_backends

    from tests.sweeps.s3 import S3Server

    manifests: dict[str, bytes] = {}

    class QuickS3(S3Server):
        """Answers what is asked most without moto, which takes 5 ms of work for each."""

        def __call__(self, environ: dict[str, str], start_response: Any) -> Any:  # noqa: ANN401
            content = manifests.get(environ["PATH_INFO"])
            if content is None:
                return super().__call__(environ, start_response)
            self.answered += 1
            time.sleep(self.seconds)
            start_response("200 OK", [("Content-Length", str(len(content)))])
            return [content]

    with QuickS3() as server:
        put = s3_backends["123456789012"]["aws"].put_object
        for n, key in enumerate(keys):
            files = dict.fromkeys(FILES, NOTHING)
            manifest = Manifest(key=key, attempt=f"{n:032x}", facts=FACTS, files=files)
            name = f"store/results/{key}/manifest.json"
            manifests[f"/results/{name}"] = manifest.encode()
            put("results", name, manifest.encode())
            for name in FILES:
                put("results", f"store/results/{key}/{n:032x}/{name}", b"{}")
        server.seconds = seconds
        ready.put(server.env)
        while not stop.wait(0.1):
            answered.value = server.answered


def trials(numbers: list[int]) -> None:
    """Prints what trials of one stage that does nothing cost, beside empty ones of Tune."""
    from ray import tune

    from vpbsd_sweeps.execution import cluster
    from vpbsd_sweeps.execution.tuner import run_tuned

    print("trials | Tune alone | stored already | one stage | of Tune: stored, run | scheduler MB")
    at_once = 4
    with tempfile.TemporaryDirectory() as room:
        cluster.connect(cpus=2, local=True)
        run(["warm"], room, at_once)
        for number in numbers:
            names = [f"{number}-{n}" for n in range(number)]
            space = {"trial": tune.grid_search(names)}
            alone = timed(lambda s=space: run_tuned(empty, s, max_concurrent_trials=at_once))
            ran = timed(lambda n=names: run(n, room, at_once))
            stored = timed(lambda n=names: run(n, room, at_once))
            costs = [seconds / number for seconds in (alone, stored, ran)]
            print(
                f"{number:>6} | " + " | ".join(f"{1000 * cost:7.0f} ms" for cost in costs)
                + f" | {costs[1] / costs[0]:.2f}, {costs[2] / costs[0]:.2f}"
                f" | {megabytes(titled('ray::StageScheduler')[0]):.0f}",
                flush=True,
            )  # fmt: skip


def empty(config: dict[str, Any]) -> None:
    """Is a trial that does nothing."""
    from ray import tune

    tune.report({"outcome": "finished"})


def run(names: list[str], room: str, at_once: int, seconds: float = 0.0) -> None:
    """Runs a trial of one stage for each name."""
    from vpbsd_sweeps.execution.jobs import JobChain, job_of
    from vpbsd_sweeps.execution.slices import Slice
    from vpbsd_sweeps.execution.trials import run_trials

    toys = [Toy(name, Path("/dev/null"), epochs=1, seconds=seconds) for name in names]
    chains = [JobChain(toy.label, (job_of(toy),)) for toy in toys]
    store, slices = Store(f"{room}/store"), {"student": Slice()}
    outcomes = run_trials(chains, store, slices, at_once, lambda stages: None)
    assert {outcome for outcome, _ in outcomes.values()} == {"finished"}


def timed(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


def memory(number: int) -> None:
    """Prints the memory of all processes while so many trials wait for their stages."""
    import threading

    import vpbsd_sweeps.drivers.sweep  # noqa: F401 (what a driver has imported)
    from vpbsd_sweeps.execution import cluster

    with tempfile.TemporaryDirectory() as room:
        cluster.connect(cpus=2, local=True)
        names = [f"trial-{n}" for n in range(number)]
        thread = threading.Thread(target=run, args=(names, room, number, 60.0), daemon=True)
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        thread.start()
        while len(found := titled("ray::ImplicitFunc.train")) < number:
            time.sleep(1)
        time.sleep(10)
        each = [megabytes(process) for process in found]
        print(json.dumps({
            "driver MB": round(megabytes(psutil.Process())),
            "scheduler MB": round(megabytes(titled("ray::StageScheduler")[0])),
            "a coordinator MB": round(sum(each) / number),
            "of these shared MB": round(sum(map(shared, found)) / number),
        }))  # fmt: skip
        os._exit(0)  # nobody waits for the stages


def titled(name: str) -> list[psutil.Process]:
    """Finds processes below this one by their title."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if " ".join(process.cmdline()).startswith(name):
                found.append(process)
    return found


def megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def shared(process: psutil.Process) -> float:
    return process.memory_info().shared / 2**20


if __name__ == "__main__":
    main()
