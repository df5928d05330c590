"""Which stages are stored, and what those cost that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from statistics import median

from vpbsd.pipeline.stage_config import External
from vpbsd.pipeline.stages import Family, Stage
from vpbsd_sweeps.store.results import State, Store
from vpbsd_sweeps.store.survey import inspect_all
from vpbsd_sweeps.study.costs import guess, guess_bytes
from vpbsd_sweeps.study.memory import Peak, peak_of

FAMILIES: tuple[Family, ...] = (
    "pre-training",
    "fine-tuning",
    "targets",
    "student",
    "evaluation",
    "timing",
    "examination",
)


@dataclass(frozen=True)
class Inventory:
    """Some stages, upstream first, and the state of each in the store.

    Attributes:
        name: Of the study or model they are for.
        stages: Each once.
        states: Key -> stored, damaged or absent.
        seconds: Key -> measured seconds of a stored stage.
        on_gpu: Whether some of them were measured on a GPU.
        sizes: Key -> bytes of a stored stage.
        peaks: Key -> GB of memory that a stored stage took at most.
    """

    name: str
    stages: tuple[Stage, ...]
    states: dict[str, State]
    seconds: dict[str, float]
    on_gpu: bool = False
    sizes: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, Peak] = field(default_factory=dict)

    @property
    def missing(self) -> list[Stage]:
        """Stages to run: not stored, or stored damaged."""
        return [stage for stage in self.stages if self.states[stage.key] != "stored"]

    def without_training(self) -> Inventory:
        """Leaves out what is to be run, but for the scoring of masks of other tools."""
        run = {s.key for s in self.missing if not isinstance(s.config, External)}
        return replace(self, stages=tuple(s for s in self.stages if s.key not in run))

    @property
    def basis(self) -> str:
        """Where the costs come from, in words."""
        return "measured" if self.seconds else "guessed for one core, nothing measured yet"

    def costs(self) -> dict[str, float]:
        """Estimates key -> seconds: measured, or a guess scaled by what its family took."""
        return self._scaled(guess, self.seconds)

    def bytes(self) -> dict[str, float]:
        """Estimates key -> bytes of a result, in the same way."""
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


def look_up(name: str, stages: Iterable[Stage], store: Store) -> Inventory:
    """Looks up some stages, upstream first, each once; reads manifests only."""
    every = tuple(stages)
    found = inspect_all(store, (stage.key for stage in every))
    manifests = {key: manifest for key, (_, manifest) in found.items() if manifest is not None}
    return Inventory(
        name=name,
        stages=every,
        states={key: state for key, (state, _) in found.items()},
        seconds={key: float(m.metadata["seconds"]) for key, m in manifests.items()},
        on_gpu=any(m.metadata.get("peak_gpu_memory_gb") for m in manifests.values()),
        peaks={key: peak_of(manifest.metadata) for key, manifest in manifests.items()},
        sizes={
            key: float(sum(file.size for file in manifest.files.values()))
            for key, manifest in manifests.items()
        },
    )
