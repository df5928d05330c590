"""A search under Ray Tune itself: many trials at once, light coordinators."""

from collections import Counter
from functools import partial

import pytest

from tests.sweeps.search_toys import ToySearch, loaded_modules
from vpbsd_sweeps.execution.search_trials import Rule, run_search
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tuning.journal import Journal
from vpbsd_sweeps.tuning.searcher import Searcher, missing, rebuilt
from vpbsd_sweeps.tuning.trial import run_trial

SLICES = {"fine-tuning": Slice(), "student": Slice(), "evaluation": Slice()}


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    path.touch()
    return path


def tuned(search, store, trials, at_once=4, program=run_trial):
    journal = Journal(store, search.name)
    journal.claim(search.identity)
    asked = Searcher(search, journal, rebuilt(search, journal, []), trials)
    rule = Rule(search.scheduler, search.rungs)
    run_search(asked, partial(program, search), rule, store, SLICES, at_once, lambda all: None)
    return journal


@pytest.mark.slow
def test_many_trials_at_once_on_ray(two_cores, tmp_path, diary):
    """Four trials alive on two cores share teachers; those stopped let go of their student.

    Their coordinators hold neither torch nor mlflow.
    """
    search, store = ToySearch(diary, students_per_teacher=8), Store(str(tmp_path / "store"))
    search.seconds = 0.05
    journal = tuned(search, store, 8, program=loaded_modules)
    assert not missing(journal, 8)
    runs = Counter(line.rsplit(" ", 1)[0] for line in diary.read_text().splitlines())
    outcomes = Counter(told.outcome for told in journal.outcomes.values())
    assert outcomes["complete"] >= 1
    assert outcomes["stopped"] >= 1
    teachers = [n for label, n in runs.items() if label.startswith("teacher")]
    assert set(teachers) == {1}, "each is trained once"
    assert len(teachers) < len(journal.asked)
    for number, told in journal.outcomes.items():
        gamma = journal.asked[number]["student.gamma"]
        if told.outcome == "stopped":
            assert runs[f"student {gamma} 1"] == 0
            assert told.curve[-1][0] in (2, 4, 8), "where the rungs are"
        assert [epoch for epoch, _ in told.curve] == list(range(1, len(told.curve) + 1))
        if told.outcome == "complete":
            loaded = set(told.reason.split())
            assert "vpbsd_sweeps.tuning.trial" in loaded
            assert not {"torch", "mlflow", "optuna", "monai"} & loaded
