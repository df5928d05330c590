"""Runs the stages of a final training that are not stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vpbsd.errors import BadInput
from vpbsd.methods.configs import PatternsConfig
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Stage
from vpbsd_sweeps.drivers.session import Session, failures, join
from vpbsd_sweeps.execution import capacity
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.inventory import Inventory, look_up
from vpbsd_sweeps.study.reachable import FINAL, list_stages


def train(
    study: str, lasts: list[Stage], store: Store, cpus: int | None, gpus: int | None
) -> None:
    """Runs what is not stored of a study's final students.

    Args:
        study: Name of the study they come from.
        lasts: The stage each student ends with.
        store: Where stages are looked up and committed.
        cpus: Cores of a local Ray; None: all.
        gpus: Most GPUs to use at a time; pre-training spans them. None: all, one per stage.

    Raises:
        BadInput: A stage failed, with its reason, or there are not so many GPUs.
    """
    unique = {stage.key: stage for last in lasts for stage in last.lineage()}
    list_stages(store, study, FINAL, unique)
    inventory = look_up(f"{study}-final", unique.values(), store)
    stored = len(inventory.stages) - len(inventory.missing)
    print(f"{len(inventory.stages)} stages, {stored} of them stored")
    if not inventory.missing:
        return
    session = join(store, cpus, inventory.missing)
    if gpus is not None:
        session = _limited(session, inventory, gpus)
    chains = [JobChain(str(s.seed), tuple(map(job_of, s.lineage()))) for s in lasts]
    display = SweepDisplay(inventory, session.fit)
    for reason in failures(session.run(chains, display)).values():
        raise BadInput(f"final training stopped: {reason}")


def _limited(session: Session, inventory: Inventory, gpus: int) -> Session:
    """Keeps a session to so many GPUs."""
    nodes = capacity.nodes()
    _refuse_too_many(gpus, sum(node.gpus * node.count for node in nodes))
    slices = _spanning(session.slices, inventory, gpus)
    capacity.check(slices, nodes)
    fit = {family: min(n, gpus) for family, n in capacity.fit(slices).items()}
    return replace(session, slices=slices, fit=fit)


def _spanning(slices: Mapping[str, Slice], inventory: Inventory, gpus: int) -> dict[str, Slice]:
    """Gives a pre-training of patterns all these GPUs; others have one of them, or a share."""
    for stage in inventory.missing:
        if isinstance(stage.config, Train) and isinstance(stage.config.method, PatternsConfig):
            piece = slices[stage.family].over(gpus, stage.config.optim.batch)
            print(f"pre-training over {piece.ranks} GPUs, batch {stage.config.optim.batch}")
            return {**slices, stage.family: piece}
    return dict(slices)


def _refuse_too_many(gpus: int, there: float) -> None:
    if gpus > there:
        raise BadInput(
            f"--gpus {gpus}: the cluster can have {there:g}, so ask for no more, or leave --gpus "
            "out to take what there is"
        )
