"""Jobs: a stage as the cluster passes it around, as data, without the science behind it.

Trials and the scheduler hand jobs on and never open them, so neither imports torch. A job names
the function that runs its stage and carries the stage as JSON: nothing is pickled, and the same
text lies beside the result, from which anyone can run the stage again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

SYSTEM_RETRIES = 20  # lost workers and nodes; a stage resumes from its checkpoint each time


class Progress(Protocol):
    """What a running stage yields: rows so far, the share done, and how to save a checkpoint."""

    @property
    def rows(self) -> list[dict[str, float | str]]:
        """All rows so far."""

    @property
    def share(self) -> float:
        """Part of the stage that is done, in [0, 1]."""

    @property
    def save(self) -> Callable[[Path], None]:
        """Writes a checkpoint from which the stage goes on exactly here."""


Runner = Callable[[str, Mapping[str, Path], Path, Path | None], Iterator[Progress]]
"""(stage as JSON, folders of its inputs, empty folder for its result, checkpoint or None)."""


class Runnable(Protocol):
    """What a job is made of: a `vpbsd.pipeline.stages.Stage`, or a toy in a test."""

    @property
    def key(self) -> str:
        """Names its result in the store."""

    @property
    def family(self) -> str:
        """Picks the slice."""

    @property
    def label(self) -> str:
        """Names the stage for people."""

    @property
    def upstream(self) -> Mapping[str, Runnable]:
        """Input name -> the stage whose result it is."""

    @property
    def runner(self) -> str:
        """The `Runner` of this kind of stage, as ``module:function``."""

    def describe(self) -> dict[str, Any]:
        """Gives the whole stage as plain data, of which the runner makes it again."""


@dataclass(frozen=True)
class Job:
    """One stage to be run.

    Attributes:
        key: The stage's key in the store.
        family: pre-training, fine-tuning, targets, student, evaluation, timing or examination:
            picks the slice.
        label: For people.
        upstream: Input name -> key.
        runner: The function that runs it, as ``module:function``.
        stage: The stage itself as JSON, read only where it is run.
    """

    key: str
    family: str
    label: str
    upstream: Mapping[str, str]
    runner: str
    stage: str

    def run(
        self, inputs: Mapping[str, Path], out: Path, resume: Path | None
    ) -> Iterator[Progress]:
        """Runs the stage; leaves the result in `out`, goes on from a checkpoint if there is."""
        module, _, name = self.runner.partition(":")
        runner: Runner = getattr(import_module(module), name)
        return runner(self.stage, inputs, out, resume)


@dataclass(frozen=True)
class JobChain:
    """A trial: the jobs it needs, in the order they can be run; the last one is its result."""

    trial: str
    jobs: tuple[Job, ...]


class Waiter(NamedTuple):
    """A trial that waits for a stage.

    Attributes:
        session: Of the driver; two drivers may have trials of one name.
        trial: Its name within the session.
    """

    session: str
    trial: str


def job_of(stage: Runnable) -> Job:
    """Makes a stage a job."""
    return Job(
        key=stage.key,
        family=stage.family,
        label=stage.label,
        upstream={name: above.key for name, above in stage.upstream.items()},
        runner=stage.runner,
        stage=json.dumps(stage.describe()),
    )
