"""What a study will train, what is stored already, and what it will cost; before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from sweeps.costs import guess, guess_bytes
from sweeps.sharing import tree
from sweeps.slices import ON_GPUS
from sweeps.store import State, Store
from sweeps.study import Study
from vpbsd.errors import BadInput
from vpbsd.stages import Family, Stage

FAMILIES: tuple[Family, ...] = (
    "pre-training",
    "fine-tuning",
    "targets",
    "student",
    "evaluation",
    "timing",
)

GPU_IN_CORES = 30
"""Cores that one GPU is taken for until a stage was measured on one: a guess, and said to be."""


@dataclass(frozen=True)
class Stock:
    """Some stages, upstream first, and the state of each in the store.

    Attributes:
        name: Of the study or model they are for.
        seconds: Key -> measured seconds of a stored stage.
        on_gpu: Whether some of them were measured on a GPU.
        sizes: Key -> bytes of a stored stage.
    """

    name: str
    stages: tuple[Stage, ...]
    states: dict[str, State]
    seconds: dict[str, float]
    on_gpu: bool = False
    sizes: dict[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> list[Stage]:
        """Stages to run: not stored, or stored damaged."""
        return [stage for stage in self.stages if self.states[stage.key] != "stored"]

    def costs(self) -> dict[str, float]:
        """Key -> seconds: its own if measured, else a guess scaled by what its family took."""
        return self._scaled(guess, self.seconds)

    def bytes(self) -> dict[str, float]:
        """Key -> bytes of its result, in the same way."""
        return self._scaled(guess_bytes, self.sizes)

    def _scaled(
        self, guessed: Callable[[Stage], float], known: dict[str, float]
    ) -> dict[str, float]:
        guesses = {stage.key: guessed(stage) for stage in self.stages}
        ratios: dict[str, list[float]] = {}
        for stage in self.stages:
            if stage.key in known and guesses[stage.key] > 0:
                ratio = known[stage.key] / guesses[stage.key]
                ratios.setdefault(stage.family, []).append(ratio)
        factor = {family: median(values) for family, values in ratios.items()}
        return {
            stage.key: known.get(stage.key, guesses[stage.key] * factor.get(stage.family, 1.0))
            for stage in self.stages
        }


@dataclass(frozen=True)
class Plan:
    """A study and the stock of its unique stages."""

    study: Study
    stock: Stock

    def requested(self) -> Counter[Family]:
        """Stage runs per family if every trial trained its own."""
        counts = Counter(s.family for t in self.study.trials for s in t.stage.lineage())
        return counts + Counter(stage.family for stage in self.study.timings)

    def lines(self) -> Iterator[str]:
        """The plan as people and scripts read it."""
        study, stock, requested = self.study, self.stock, self.requested()
        yield (
            f"study {study.name}: {len(study.arms)} arms, {len(study.folds)} folds, "
            f"{len(study.seeds)} seeds = {len(study.trials)} trials"
        )
        yield from (f"arm {arm}" for arm in study.arms)
        yield "stage          requested | unique | stored | damaged"
        for family in (f for f in FAMILIES if requested[f]):
            states = Counter(stock.states[s.key] for s in stock.stages if s.family == family)
            yield (
                f"{family:<14} {requested[family]:>9} | {states.total():>6} "
                f"| {states['stored']:>6} | {states['damaged']:>7}"
            )
        costs = stock.costs()
        left = sum(costs[stage.key] for stage in stock.missing)
        naive = sum(costs[s.key] for t in study.trials for s in t.stage.lineage())
        basis = "measured" if stock.seconds else "guessed for one core, nothing measured yet"
        yield f"work left {hours(left)}; every trial on its own {hours(naive)} ({basis})"
        yield f"longest path {hours(self.longest_path(costs))}: more slices do not shorten it"
        taken = f"a GPU taken as {GPU_IN_CORES} cores"
        shares = ", ".join(f"{family} {piece.gpus:g}" for family, piece in ON_GPUS.items())
        yield (
            f"on GPUs about {self.gpu_hours():.2g} GPU-hours "
            f"({'measured' if stock.on_gpu else taken}); share of a GPU: {shares}"
        )
        size, there = sum(stock.bytes().values()), sum(stock.sizes.values())
        yield f"disk for results about {volume(size)}, {volume(there)} of it stored"
        yield "shared stages, over all folds:"
        yield from (f"  {line}" for line in tree(study.trials, stock.states))

    def longest_path(self, costs: dict[str, float]) -> float:
        """Seconds of the longest row of stages to run, each of which waits for the one before."""
        missing = {stage.key for stage in self.stock.missing}
        until: dict[str, float] = {}
        for stage in self.stock.stages:  # upstream first
            above = max((until[up.key] for up in stage.upstream.values()), default=0.0)
            until[stage.key] = above + (costs[stage.key] if stage.key in missing else 0.0)
        return max(until.values(), default=0.0)

    def gpu_hours(self) -> float:
        """What is left, in hours of whole GPUs, were it run on GPU slices."""
        costs = self.stock.costs()
        return sum(
            ON_GPUS[stage.family].gpus * costs[stage.key] / 3600 for stage in self.stock.missing
        ) / (1 if self.stock.on_gpu else GPU_IN_CORES)

    def check_budget(self, most: float | None) -> None:
        """Refuses a study that would take more than it may.

        Raises:
            BadInput: The estimate is above `most` GPU-hours.
        """
        if most is not None and self.gpu_hours() > most:
            raise BadInput(
                f"study '{self.study.name}' would take about {self.gpu_hours():.2g} GPU-hours, "
                f"--max-gpu-hours allows {most:g}: ask for fewer arms, folds or seeds, or raise it"
            )


def make_plan(study: Study, store: Store) -> Plan:
    """Looks up every stage of a study; reads manifests, never voxels or weights."""
    return Plan(study, take_stock(study.name, study.stages(), store))


def take_stock(name: str, stages: Iterable[Stage], store: Store) -> Stock:
    """Looks up some stages."""
    every = tuple(stages)
    states = {stage.key: store.state(stage.key) for stage in every}
    manifests = {stage.key: store.manifest(stage.key) for stage in every}
    seconds = {k: float(m.facts["seconds"]) for k, m in manifests.items() if m is not None}
    on_gpu = any(m.facts.get("peak_gpu_memory_gb") for m in manifests.values() if m is not None)
    sizes = {
        key: float(sum(file.size for file in m.files.values()))
        for key, m in manifests.items()
        if m is not None
    }
    return Stock(name, every, states, seconds, on_gpu, sizes)


def hours(seconds: float) -> str:
    """A duration of work, from ``12 s`` to ``3.1 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def volume(size: float) -> str:
    """An amount of data, from ``12 MB`` to ``3.1 GB``."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
