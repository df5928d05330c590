"""Run one stored stage again by hand, from the stage.json beside its result.

vpbsd run stage.json --store runs/store
vpbsd run stage.json --store s3://bucket/store --data /new/place

A stage that is not in the store is run and stored there, as a worker of a sweep does. One that is
stored is run into a folder of its own, and what came out is compared with what is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from vpbsd.cli import command_parser
from vpbsd.data.folds import Part
from vpbsd.data.volumes import VolumeInfo, list_volumes
from vpbsd.errors import BadInput
from vpbsd.pipeline.stages import Stage, StageSpec
from vpbsd_sweeps.cli.options import RUNS, default_store
from vpbsd_sweeps.execution.jobs import Job
from vpbsd_sweeps.execution.stage_leases import holding, stage_lease, wait_for_others
from vpbsd_sweeps.execution.worker import execute
from vpbsd_sweeps.store.comparison import Comparison, compare
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.units import hours

TELL_EVERY = 1.0  # seconds between lines of progress


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("run", __doc__)
    parser.add_argument("stage", type=Path, metavar="STAGE.json", help="what a stage is, as data")
    parser.add_argument(
        "--store",
        default=default_store(),
        metavar="URL",
        help="holds its inputs (default $VPBSD_STORE, else runs/store)",
    )
    parser.add_argument("--data", metavar="DIR", help="where its volumes lie now, if they moved")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"for the result of a stage that is stored (default {RUNS}/again/KEY)",
    )
    return parser.parse_args()


def main() -> int:
    """Runs a stage and stores its result, or compares it with the stored one.

    Returns:
        0, or 1 where it differs.
    """
    args = arguments()
    if not args.stage.is_file():
        raise BadInput(f"there is no file {args.stage}: give the stage.json of a result")
    spec, store = StageSpec.read(args.stage.read_text("utf-8")), Store(args.store)
    if args.data is not None:
        spec = relocated(spec, list_volumes(args.data))
    _refuse_missing_inputs(spec, store)
    job = Job(
        key=spec.key,
        family=spec.family,
        label=spec.label,
        upstream=spec.upstream,
        runner=Stage.runner,
        stage=json.dumps(spec.describe()),
    )
    if store.state(spec.key) != "stored":
        store.files.check_writable()
        _train(job, store)
        print(f"stored   {spec.key[:12]} ({spec.label}) in {store.url}")
        return 0
    out = args.out or Path(RUNS) / "again" / spec.key[:12]
    difference = run_again(job, store, out)
    print("\n".join(difference.lines()))
    print(f"result   {out}")
    return 0 if difference.same else 1


class Progress:
    """Tells on stderr how far a stage is and how long it will take; a `Report` of a worker."""

    def __init__(self, label: str) -> None:
        self._label = label or "stage"
        self._began = self._told = time.monotonic()
        self._from: float | None = None

    def __call__(self, first: int, rows: list[dict[str, float | str]], share: float) -> None:
        """Tells it, but not more often than every second."""
        now = time.monotonic()
        if self._from is None:  # of a stage that goes on, what was done before took no time now
            self._from = share
        if now - self._told < TELL_EVERY and share < 1:
            return
        self._told, done = now, share - self._from
        left = f", about {hours((now - self._began) / done * (1 - share))} left" if done else ""
        print(f"{self._label}: {100 * share:.0f} %{left}", file=sys.stderr, flush=True)


def run_again(job: Job, store: Store, out: Path) -> Comparison:
    """Runs a stage that is stored into a folder, on as many threads, and compares the two.

    Raises:
        BadInput: The folder holds something else.
    """
    import torch

    manifest = store.manifest(job.key)
    assert manifest is not None
    _empty(out, job.key)
    inputs = {name: store.open(key) for name, key in job.upstream.items()}
    torch.set_num_threads(int(manifest.metadata["threads"]))  # sums on a CPU depend on it
    tell = Progress(job.label)
    for step in job.run(inputs, out, None):
        tell(0, [], step.share)
    return compare(store.open(job.key), out)


def relocated(spec: StageSpec, volumes: tuple[VolumeInfo, ...]) -> StageSpec:
    """Returns the same stage, with its volumes where they lie now, known by their content.

    Raises:
        BadInput: One of them is not there.
    """
    found = {volume.fingerprint: volume for volume in volumes}

    def moved(part: Part) -> Part:
        if part.volume.fingerprint not in found:
            raise BadInput(
                f"--data: volume {part.volume.name} of the stage is not there (known by its "
                f"content, {part.volume.fingerprint[:12]}): give the folder it lies in"
            )
        return part._replace(volume=found[part.volume.fingerprint])

    return replace(
        spec, parts={role: tuple(map(moved, parts)) for role, parts in spec.parts.items()}
    )


def _train(job: Job, store: Store) -> None:
    """Trains a stage; waits where a sweep does so, and takes over what it leaves."""
    me, progress = uuid4().hex, Progress(job.label)

    async def show(first: int, rows: list[dict[str, Any]], share: float) -> None:
        progress(first, rows, share)

    lapsed = asyncio.run(wait_for_others(store, job, me, show))
    with holding(store, job, me, lapsed) as term:
        if term is None:
            raise BadInput(f"{job.label} has just been begun by a sweep: give the command again")
        execute(job, store, progress, partial(stage_lease(store, job).check, term))


def _refuse_missing_inputs(spec: StageSpec, store: Store) -> None:
    for name, key in spec.upstream.items():
        if store.state(key) != "stored":
            raise BadInput(
                f"input '{name}' is the result of stage {key[:12]}, which {store.url} does not "
                "hold: run that stage first, or pass another --store"
            )


def _empty(out: Path, key: str) -> None:
    """Makes an empty folder in place of an earlier result of this very stage."""
    if out.is_dir() and any(out.iterdir()):
        stage = out / "stage.json"
        if not stage.is_file() or json.loads(stage.read_text()).get("key") != key:
            raise BadInput(f"--out {out}: there is something else there; pass a new folder")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
