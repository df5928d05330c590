"""What a search needs of the store, listed as it goes on: nothing else knows its stages."""

from __future__ import annotations

from vpbsd.errors import BadInput
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.reachable import SEARCH, list_stages
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.search_spec import Search


class StageLister:
    """Lists the stages of every trial that was asked for, all folds and seeds, each trial once."""

    def __init__(self, search: Search, journal: Journal, store: Store) -> None:
        self._search, self._journal, self._store = search, journal, store
        self._listed: set[int] = set()

    def catch_up(self) -> None:
        """Adds the stages of new trials to the list in the store."""
        new = [number for number in list(self._journal.asked) if number not in self._listed]
        if new or not self._listed:
            keys = {key for number in new for key in self._keys(number)}
            list_stages(self._store, self._search.name, SEARCH, keys)
            self._listed.update(new)

    def _keys(self, number: int) -> set[str]:
        try:
            trials = list(self._search.trials(self._journal.asked[number]))
        except BadInput:
            return set()  # it cannot be trained
        return {stage.key for trial in trials for stage in trial.stage.lineage()}
