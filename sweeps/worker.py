"""One stage in one process: inputs from the store, checkpoints to it, the result committed."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import cloudpickle

from sweeps.store import Store
from sweeps.tickets import Progress, Runnable, Ticket
from sweeps.vitals import VITALS, Vitals

CHECKPOINT = "checkpoint.safetensors"
SPENT = "spent.json"
Report = Callable[[int, list[dict[str, float | str]], float], None]
"""(number of the first row, new rows, share done)"""


def execute(ticket: Ticket, store: Store, report: Report) -> None:
    """Runs a stage from its newest checkpoint to its committed result.

    Args:
        ticket: The stage.
        store: Holds its inputs; receives rows, checkpoints and the result.
        report: Told of new rows and of the share done.

    Raises:
        Damaged: An input is not what was committed; it has been set aside.
        Absent: An input is not stored (any more).
        Diverged: A loss is not finite.
        ValueError: An evaluation has no DSC, or one that is no number.
    """
    if store.state(ticket.key) == "stored":
        return
    stage: Runnable = cloudpickle.loads(ticket.sealed)
    inputs = {name: store.open(key) for name, key in ticket.upstream.items()}
    with TemporaryDirectory(prefix="vpbsd-") as room:
        out, kept = Path(room, "out"), Path(room, CHECKPOINT)
        out.mkdir()
        diary = Diary(store, ticket.key, kept)
        with Vitals() as vitals:
            for step in stage.run(inputs, out, diary.resume()):
                new = diary.note(step)
                report(len(step.rows) - len(new), new, step.share)
        if ticket.family == "evaluation":
            _refuse_unmeasured(out)
        (out / VITALS).write_text(json.dumps(vitals.rows))
        store.commit(ticket.key, out, _facts(stage, out, diary.seconds()))
    store.clear_running(ticket.key)


def accompany(ticket: Ticket, store: Store) -> None:
    """One process's part of a stage's training, which another process reports and saves."""
    stage: Runnable = cloudpickle.loads(ticket.sealed)
    inputs = {name: store.open(key) for name, key in ticket.upstream.items()}
    with TemporaryDirectory(prefix="vpbsd-") as room:
        out, kept = Path(room, "out"), Path(room, CHECKPOINT)
        out.mkdir()
        saved = store.fetch_running(ticket.key, CHECKPOINT, kept)
        for step in stage.run(inputs, out, kept if saved else None):
            if step.share >= 1:
                return


def _refuse_unmeasured(out: Path) -> None:
    """Without a score a trial has failed: it must enter no mean, and end no sweep."""
    for row in json.loads((out / "rows.json").read_text()):
        if not math.isfinite(row.get("dsc", math.nan)):
            volume = row.get("volume", "a volume")
            raise ValueError(f"the DSC of {volume} is {row.get('dsc', 'missing')}")


class Diary:
    """What a running stage leaves in the store, so that a crash costs little.

    Rows and checkpoint are written at most every `VPBSD_CHECKPOINT_SECONDS` (30), and `run`
    yields after each epoch or five minutes: a crash costs no more than that.
    """

    def __init__(self, store: Store, key: str, kept: Path) -> None:
        from vpbsd.ranks import ranks  # torch takes seconds to import

        self.store, self.key, self.kept, self._ranks = store, key, kept, ranks()
        self._every = float(os.environ.get("VPBSD_CHECKPOINT_SECONDS", "30"))
        self._before = 0.0
        self._began = self._saved = time.monotonic()
        self._rows = self._written = 0

    def resume(self) -> Path | None:
        """The newest checkpoint, if there is one."""
        if not self.store.fetch_running(self.key, CHECKPOINT, self.kept):
            return None
        spent = self.store.load_running(self.key, SPENT)
        self._before = float(json.loads(spent)["seconds"]) if spent else 0.0
        return self.kept

    def seconds(self) -> float:
        """Spent on this stage by all its processes, in earlier attempts up to their checkpoint."""
        return self._before + self._ranks * (time.monotonic() - self._began)

    def note(self, step: Progress) -> list[dict[str, float | str]]:
        """Takes a step down; returns the rows that are new."""
        if self._rows == 0 and len(step.rows) > 1:  # resumed: the first rows are known
            self._rows = self._written = len(step.rows) - 1
        new = step.rows[self._rows :]
        self._rows = len(step.rows)
        if time.monotonic() - self._saved >= self._every:
            self._save(step)
        return new

    def _save(self, step: Progress) -> None:
        draft = self.kept.with_name("next-" + CHECKPOINT)
        step.save(draft)
        draft.replace(self.kept)
        told = {"seconds": self.seconds(), "share": step.share, "time": time.time()}
        spent = json.dumps(told).encode()
        self.store.save_running(self.key, {CHECKPOINT: self.kept, SPENT: spent})
        if self._written < len(step.rows):
            self.store.append_rows(self.key, self._written, step.rows[self._written :])
            self._written = len(step.rows)
        self._saved = time.monotonic()


def _facts(stage: Runnable, out: Path, seconds: float) -> dict[str, str | float | None]:
    """What cannot change the result but belongs to its story."""
    import torch

    from vpbsd.ranks import ranks

    summary = json.loads((out / "summary.json").read_text())
    cuda = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if cuda else 0
    return {
        "family": stage.family,
        "label": stage.label,
        "void": summary["void"],
        "seconds": seconds,
        "finished": time.time(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "threads": float(torch.get_num_threads()),
        "ranks": float(ranks()),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "peak_gpu_memory_gb": peak / 2**30,
        "host": platform.node(),
        "commit": commit(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "monai", "numpy")},
    }


def commit() -> str:
    """The git commit this code is at, `+` behind it where files differ; or the version."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
        dirty = subprocess.run([*git, "diff", "--quiet", "HEAD"], timeout=10).returncode
    except (OSError, subprocess.SubprocessError):
        return version("vpbsd")
    return head + ("+" if dirty else "")
