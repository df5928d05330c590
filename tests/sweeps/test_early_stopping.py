"""Who is stopped early, by Tune's own schedulers: of whom they hear, what, and how often."""

import random
from dataclasses import replace

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tests.sweeps.search_toys import ToySearch
from tests.sweeps.tuneless import LocalFollower, searched
from vpbsd_sweeps.execution.early_stopping import (
    RUNG,
    SCORE,
    Earlier,
    EarlyStopping,
    make_scheduler,
)
from vpbsd_sweeps.execution.search_trials import CURVE, ENDED, TuneSearcher
from vpbsd_sweeps.store.results import Store

GO, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP


class Heard:
    """A scheduler whose trials report one after the other."""

    def __init__(self, name="asha", rungs=(2, 4, 8), earlier=()):
        self.early = EarlyStopping(make_scheduler(name, rungs), earlier)
        self.trials = {}

    def __call__(self, name, rung, score):
        if name not in self.trials:
            self.trials[name] = Earlier(name)
            self.early.on_trial_add(None, self.trials[name])
        row = {RUNG: rung, SCORE: score, CURVE: ()}
        return self.early.on_trial_result(None, self.trials[name], row)


def test_a_rung_compares_what_came_there_and_hears_each_once():
    heard = Heard()
    assert heard("a", 2, 0.5) == GO
    assert heard("a", 2, 0.0) == GO, "again, from a coordinator that was lost"
    assert heard("b", 2, 0.45) == STOP, "below the half of .5, not of 0"
    assert heard("c", 2, 0.6) == GO
    assert heard("a", 4, 0.3) == heard("a", 8, 0.3) == GO
    assert heard("c", 4, 0.2) == STOP
    assert heard.early.stopped == {"b", "c"}


def test_the_rule_hears_each_rung_once():
    """Tune's median rule would count what a lost coordinator sends again as another look."""
    heard = Heard("median")
    for score in (0.5, 0.5, 0.1):
        assert heard("a", 2, score) == GO
    assert heard("a", 4, 0.6) == GO
    ((_, results),) = heard.early._rule._results.items()
    assert [(row[RUNG], row[SCORE]) for row in results] == [(2, 0.5), (4, 0.6)]


def test_one_whose_ramp_was_long_fills_no_rung_that_it_passed():
    heard = Heard()
    assert heard("a", 8, 0.1) == GO
    assert heard("b", 2, 0.05) == heard("b", 4, 0.05) == GO, "nobody was there before"
    assert heard("b", 8, 0.05) == STOP


def test_tune_reckons_the_rungs_that_were_asked_for():
    for first in (1, 2, 3, 7, 30):
        for many in range(1, 6):
            rungs = tuple(first * 2**n for n in range(many))
            (bracket,) = make_scheduler("asha", rungs)._brackets
            assert tuple(sorted(rung for rung, _ in bracket._rungs)) == rungs


def test_what_earlier_drivers_heard_counts():
    earlier = [[(2, 0.5), (4, 0.7)], [(2, 0.4)]]
    for name in ("asha", "median", "none"):
        anew = Heard(name, earlier=earlier)
        assert anew("c", 2, 0.44) == (STOP if name == "asha" else GO), "the half of .5 and .4"
    median = Heard("median", earlier=[*earlier, earlier[0], earlier[0]])
    assert median("d", 2, 0.45) == STOP, "three are needed: .5, .5, .5, .4"
    assert median("e", 2, 0.5) == GO


@pytest.mark.parametrize("name", ["asha", "median", "none"])
def test_reports_without_a_score_ask_nobody(name):
    heard = Heard(name)
    heard("a", 2, 0.5)
    assert heard.early.on_trial_result(None, heard.trials["a"], {ENDED: "void"}) == GO
    assert heard("a", 4, 0.5) == heard("b", 2, 0.5) == GO


def test_nobody_is_stopped_where_there_is_no_rung():
    assert type(make_scheduler("asha", ())) is FIFOScheduler


class Ledger:
    """A search that asks for three trials and writes down what it is told."""

    def __init__(self):
        self.left, self.told = [2, 1, 0], []

    def ask(self, running):
        return (self.left.pop(), {}) if self.left else None

    def tell(self, ended):
        self.told.append(ended)

    def tell_stopped(self, number, curve):
        self.told.append((number, "stopped", curve))

    def tell_failed(self, number, reason):
        self.told.append((number, "failed", reason))


def test_only_what_has_ended_is_told():
    """A trial that Tune lets go of when it is interrupted was neither stopped nor failed."""
    ledger, left, heard = Ledger(), [], Heard()
    tune = TuneSearcher(ledger, heard.early, 3, left.append)
    assert [tune.suggest(name)["number"] for name in "abc"] == [0, 1, 2]
    assert tune.suggest("d") is None
    heard("a", 2, 0.5), heard("b", 2, 0.4)
    tune.on_trial_complete("b", {RUNG: 2, SCORE: 0.4, CURVE: ((2, 0.4),)})
    tune.on_trial_complete("a", {RUNG: 2, SCORE: 0.5, CURVE: ((2, 0.5),)})
    assert ledger.told == [(1, "stopped", ((2, 0.4),))]
    tune.on_trial_complete("c", None, error=True)
    assert ledger.told[1:] == [(2, "failed", "its coordinator was lost 21 times")]
    assert left == [1, 0, 2], "nothing waits for any of them"
    assert tune.suggest("d") == TuneSearcher.FINISHED


@pytest.mark.parametrize("seconds", ["0", "1000"], ids=["checkpoints", "from the start"])
def test_lost_workers_change_no_selection(seconds, tmp_path, monkeypatch):
    """Of 24 trials, one epoch in five loses its worker; who is stopped, where, stays the same."""
    monkeypatch.setenv("VPBSD_CHECKPOINT_SECONDS", seconds)
    rng, told = random.Random(3), []
    for often in (0.0, 0.2 if seconds == "0" else 0.1):
        home = tmp_path / str(often)
        home.mkdir()
        (home / "diary").touch()
        store = Store(str(home / "store"))
        lost = [0]

        def loses(often=often, lost=lost):
            now = rng.random() < often
            lost[0] += now
            return now

        follow = LocalFollower(store, lost=loses)
        journal = searched(ToySearch(home / "diary"), store, 24, follow)
        told.append({n: replace(one, time=0) for n, one in journal.outcomes.items()})
    assert lost[0] > 10
    assert told[0] == told[1]
    assert "stopped" in {one.outcome for one in told[0].values()}
