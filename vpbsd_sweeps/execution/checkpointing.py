"""What a running stage keeps in the store, so that a crash costs little."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from vpbsd_sweeps.execution.jobs import Progress
from vpbsd_sweeps.messages import last_line
from vpbsd_sweeps.store.lease import LeaseLost
from vpbsd_sweeps.store.results import Store

CHECKPOINT = "checkpoint.safetensors"
SPENT = "spent.json"
log = logging.getLogger(__name__)
Report = Callable[[int, list[dict[str, float | str]], float], None]
"""(number of the first row, new rows, share done)"""


class Checkpointer:
    """Keeps in the store what a running stage needs to go on, so that a crash costs little.

    Rows and checkpoint are written at most every `VPBSD_CHECKPOINT_SECONDS` (30), and `run`
    yields after each epoch or five minutes: a crash costs no more than that.

    Args:
        store: Where they are kept.
        key: Of the stage.
        kept: Where the newest checkpoint lies on this machine.
        check: Called before each write; its `LeaseLost` ends the stage here.
    """

    def __init__(
        self, store: Store, key: str, kept: Path, check: Callable[[], None] = lambda: None
    ) -> None:
        from vpbsd.distributed import ranks  # torch takes seconds to import

        self.store, self.key, self.kept, self._ranks = store, key, kept, ranks()
        self._check = check
        self._every = float(os.environ.get("VPBSD_CHECKPOINT_SECONDS", "30"))
        self._before = 0.0
        self._began = self._saved = time.monotonic()
        self._rows = self._written = 0

    def resume(self) -> Path | None:
        """Fetches the newest checkpoint, if there is one."""
        if not self.store.checkpoints.fetch(self.key, CHECKPOINT, self.kept):
            return None
        spent = self.store.checkpoints.load(self.key, SPENT)
        self._before = float(json.loads(spent)["seconds"]) if spent else 0.0
        return self.kept

    def seconds(self) -> float:
        """Sums the seconds of all processes, and of earlier attempts up to their checkpoint."""
        return self._before + self._ranks * (time.monotonic() - self._began)

    def record(self, step: Progress) -> list[dict[str, float | str]]:
        """Saves a step if it is time to; returns the rows that are new to this attempt.

        At first these are all rows of the checkpoint too: whoever follows must miss no epoch.
        """
        if self._rows == 0:
            self._written = max(len(step.rows) - 1, 0)
        new = step.rows[self._rows :]
        self._rows = len(step.rows)
        if time.monotonic() - self._saved >= self._every:
            self._try_to_save(step)
        return new

    def _try_to_save(self, step: Progress) -> None:
        """Saves a step; where the store is away, the next step is another try."""
        try:
            self._check()
            self._save(step)
        except LeaseLost:
            raise
        except Exception as error:  # every kind of store has exceptions of its own
            log.warning("no checkpoint of %s: %s", self.key, last_line(error))

    def _save(self, step: Progress) -> None:
        draft = self.kept.with_name("next-" + CHECKPOINT)
        step.save(draft)
        draft.replace(self.kept)
        progress = {"seconds": self.seconds(), "share": step.share, "time": time.time()}
        spent = json.dumps(progress).encode()
        self.store.checkpoints.save(self.key, {CHECKPOINT: self.kept, SPENT: spent})
        if self._written < len(step.rows):
            self.store.checkpoints.append_rows(self.key, self._written, step.rows[self._written :])
            self._written = len(step.rows)
        self._saved = time.monotonic()
