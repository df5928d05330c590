"""Runs the stages of a final training that are not stored."""

from __future__ import annotations

import argparse

from vpbsd.errors import BadInput
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import Inventory, look_up


def _train(lasts: list[Stage], args: argparse.Namespace, store: Store) -> None:
    """Runs what is not stored; a stage that fails ends the program with its reason."""
    unique = {stage.key: stage for last in lasts for stage in last.lineage()}
    stock = look_up(f"{args.study}-final", unique.values(), store)
    print(f"{len(stock.stages)} stages, {len(stock.stages) - len(stock.missing)} of them stored")
    if stock.missing:
        _run(lasts, stock, args, store)


def _run(lasts: list[Stage], stock: Inventory, args: argparse.Namespace, store: Store) -> None:
    from vpbsd_sweeps.execution import capacity, cluster
    from vpbsd_sweeps.execution.jobs import JobChain, job_of
    from vpbsd_sweeps.execution.trials import run_trials
    from vpbsd_sweeps.monitor.sweep_display import SweepDisplay

    cluster.connect(args.cpus)
    slices, at_once = capacity.offered()
    if args.gpus is not None:
        _refuse_too_many(args.gpus, sum(node.gpus * node.count for node in capacity.nodes()))
        at_once = min(at_once, args.gpus)
        slices = _spanning(slices, stock, args.gpus)
        capacity.check(slices, capacity.nodes())
    chains = [JobChain(str(s.seed), tuple(map(job_of, s.lineage()))) for s in lasts]
    with SweepDisplay(stock, min(at_once, len(lasts))) as display:
        ran = run_trials(chains, store, slices, at_once, display.show)
    if any(outcome == "interrupted" for outcome, _ in ran.values()):
        raise KeyboardInterrupt
    for outcome, reason in ran.values():
        if outcome == "failed":
            raise BadInput(f"final training stopped: {reason}")


def _spanning(slices: dict[str, Slice], stock: Inventory, gpus: int) -> dict[str, Slice]:
    """A pre-training takes all these GPUs; any other stage one of them, or a share of it."""
    for stage in stock.missing:
        if stage.family == "pre-training":
            assert isinstance(stage.config, Train)
            piece = slices[stage.family].over(gpus, stage.config.optim.batch)
            print(f"pre-training over {piece.ranks} GPUs, batch {stage.config.optim.batch}")
            return slices | {stage.family: piece}
    return slices


def _refuse_too_many(asked: int, there: float) -> None:
    if asked > there:
        raise BadInput(
            f"--gpus {asked}: the cluster can have {there:g}, so ask for no more, or leave --gpus "
            "out to take what there is"
        )
