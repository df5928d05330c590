"""A search's journal: each configuration and how it ended, appended, beside the store.

It is the whole state of a search. A trial that was asked for and never told of is what an
interrupted driver left, and is run first by the next one.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vpbsd.errors import BadInput
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.store.studies import claim
from vpbsd_sweeps.tuning.space import Params

Outcome = Literal["complete", "stopped", "void", "failed", "infeasible"]
"""complete: full budget on all folds and seeds; stopped: early, on the first fold."""
Curve = tuple[tuple[int, float], ...]
"""(epoch, DSC) at each validation of a student."""


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended.

    Attributes:
        number: Of the trial.
        outcome: Only complete ones have a value.
        scores: DSC of the group held out of each finished fold, seed by seed.
        curve: (epoch, DSC of the glance) of the first fold's student; what it is stopped by.
        cost: Second objective: 10^9 multiply-accumulates of one patch, or None.
        reason: Why it is not complete.
        keys: Label -> stage key, of the first fold.
        time: When it ended, in seconds since 1970.
    """

    number: int
    outcome: Outcome
    scores: tuple[float, ...] = ()
    curve: Curve = ()
    cost: float | None = None
    reason: str = ""
    keys: dict[str, str] | None = None
    time: float = field(default_factory=time.time)

    @property
    def value(self) -> float | None:
        """The objective: mean over folds and seeds; None unless the trial is complete."""
        return sum(self.scores) / len(self.scores) if self.outcome == "complete" else None

    def values(self, objectives: int) -> list[float] | None:
        """Returns what a sampler of so many objectives learns; None if it is not complete."""
        if self.value is None or (objectives > 1 and self.cost is None):
            return None
        return [self.value, self.cost or 0.0][:objectives]


class Journal:
    """A search's entries, read once and appended to.

    Attributes:
        identity: Of the search, or None where nothing was written yet.
        asked: Number -> configuration.
        outcomes: Number -> how it ended, in the order it did.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._path, self.name = store, f"{name}/search.jsonl", name
        self.identity: dict[str, Any] | None = None
        self.asked: dict[int, Params] = {}
        self.outcomes: dict[int, TrialOutcome] = {}
        self.order: list[tuple[str, int]] = []
        """("asked" | "told", number), as it happened."""
        for entry in store.studies.read_lines(self._path):
            self._take(entry)

    @property
    def pending(self) -> list[int]:
        """Asked for, and not told of."""
        return [number for number in self.asked if number not in self.outcomes]

    def claim(self, identity: dict[str, Any]) -> None:
        """Takes the name, or checks that it is the same search.

        Raises:
            BadInput: It is another; the first difference is named.
        """
        entry = {"event": "search", "facts": identity}
        claim(f"search '{self.name}'", identity, self.identity, lambda: self._add(entry))

    def ask(self, number: int, params: Params) -> None:
        """Notes that a trial begins."""
        self._add({"event": "asked", "number": number, "params": params})

    def tell(self, outcome: TrialOutcome) -> None:
        """Notes how a trial ended."""
        self._add({"event": "told", **asdict(outcome)})

    def _add(self, entry: dict[str, Any]) -> None:
        self._store.studies.append_line(self._path, entry)
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        kind = entry["event"]
        if kind == "search":
            self.identity = self.identity or entry["facts"]
            return
        number, known = entry["number"], self.asked if kind == "asked" else self.outcomes
        if number in known:
            return  # the first word counts
        self.order.append((kind, number))
        if kind == "asked":
            self.asked[number] = entry["params"]
            return
        left_out = ("event", "rungs")  # rungs: in older journals, and in the curve
        plain = {name: value for name, value in entry.items() if name not in left_out}
        plain["scores"] = tuple(plain["scores"])
        plain["curve"] = tuple((int(epoch), score) for epoch, score in plain["curve"])
        self.outcomes[number] = TrialOutcome(**plain)


def read_search(store: Store, name: str) -> Journal:
    """Reads the journal of another search.

    Raises:
        BadInput: No such search in this store.
    """
    journal = Journal(store, name)
    if journal.identity is None:
        raise BadInput(
            f"there is no search '{name}' in the store {store.url}: name one that was run there"
        )
    return journal
