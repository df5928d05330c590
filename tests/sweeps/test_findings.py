"""What a search found: importances, the front of DSC against cost, and how much they rest on."""

from types import SimpleNamespace

import pytest

from tests.sweeps.search_toys import STUDENTS, TEACHER, ToySearch
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.search_tables import report
from vpbsd_sweeps.tuning.journal import TrialOutcome
from vpbsd_sweeps.tuning.ranking import pareto_front
from vpbsd_sweeps.tuning.sampler import ConfigSampler, importances
from vpbsd_sweeps.tuning.space import Space


def test_importances_need_enough_trials_and_find_what_matters():
    space = Space(laptop(), (TEACHER,), (STUDENTS,))
    one = ConfigSampler(space, "random", 0, 1)
    drawn = [one.ask(number) for number in range(40)]
    assert importances(space, [(p, p["student.gamma"]) for p in drawn[:9]]) is None
    assert importances(space, [(p, 0.5) for p in drawn]) is None
    shares = importances(space, [(p, p["student.gamma"]) for p in drawn])
    assert shares["student.gamma"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)


def test_the_front_of_dsc_against_cost():
    points = [(5.0, 0.9), (1.0, 0.8), (2.0, 0.7), (1.0, 0.8), (5.0, 0.8)]
    assert pareto_front(points) == [(1.0, 0.8), (5.0, 0.9)]


def test_shares_that_rest_on_few_teachers_say_so():
    """Twelve students of two teachers or of twelve; a search of students alone says nothing."""
    for teachers, line in ((2, "They had 2 teachers: "), (12, ""), (0, "")):
        levels = ((TEACHER,), (STUDENTS,)) if teachers else ((), (STUDENTS,))
        asked = {n: {"student.gamma": n / 12} for n in range(12)}
        for n, params in asked.items():
            params |= {"pretrain.alpha": n % teachers / 12} if teachers else {}
        told = {n: TrialOutcome(n, "complete", (n / 12,)) for n in asked}
        search = ToySearch(None, space=Space(laptop(), *levels), folds=(0,))
        text = report(search, SimpleNamespace(asked=asked, outcomes=told))
        assert "PED-ANOVA over the 12 complete trials." in text
        assert line in text
        assert ("They had" in text) == bool(line)
        assert "gamma=0.917" in text, "eleven twelfths, in three digits"
