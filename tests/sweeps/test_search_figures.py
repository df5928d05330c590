"""How a search is drawn: which dots, which order, and a partial dependence worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from vpbsd.search_ranges import Choice, Range
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.search_figures import draw_search, partial_dependence, slices
from vpbsd_sweeps.tuning.space import Parameter, Space

GAMMA = Parameter("student.gamma", Range(0.1, 10, log=True))
ON = Parameter("student.distil_on", Choice(("both", "labelled")))
SIZE = Parameter("student.idle", Range(1, 3))
SPACE = Space(laptop(), (), (SIZE, ON, GAMMA))


def tried(n):
    """DSC falls with the logarithm of gamma alone; the other settings are noise."""
    random = np.random.default_rng(0)
    for _ in range(n):
        gamma = float(10 ** random.uniform(-1, 1))
        params = {"student.gamma": gamma, "student.idle": float(random.uniform(1, 3))}
        params["student.distil_on"] = str(random.choice(["both", "labelled"]))
        yield params, 0.5 - 0.2 * float(np.log10(gamma))


def test_what_matters_comes_first_with_its_dots_and_its_line():
    trials = list(tried(60))
    first, *others = slices(SPACE, trials).axes[:3]
    assert first.get_title().startswith("gamma (")
    assert first.get_xscale() == "log"
    dots, line = first.lines
    assert list(dots.get_xdata()) == [params["student.gamma"] for params, _ in trials]
    assert list(dots.get_ydata()) == [value for _, value in trials]
    assert line.get_ydata()[0] - line.get_ydata()[-1] == pytest.approx(0.4, abs=0.08)
    for at in others:
        assert np.ptp(at.lines[1].get_ydata()) < 0.05
    words = next(at for at in others if at.get_title().startswith("distil_on"))
    assert [tick.get_text() for tick in words.get_xticklabels()] == ["both", "labelled"]


def test_partial_dependence_sets_one_setting_and_leaves_the_others():
    """Of x + 10 y over x = 7, 8, 9: at y = 0 the mean is 8, at y = 5 it is 58."""

    class Sum:
        def predict(self, rows):
            return rows[:, 0] + 10 * rows[:, 1]

    table = np.array([[7.0, 1], [8, 2], [9, 6]])
    found = partial_dependence(Sum(), table, [SIZE, GAMMA], GAMMA, np.array([0.0, 5]))
    assert found.tolist() == [8, 58]
    assert table[:, 1].tolist() == [1, 2, 6]


def test_few_trials_are_dots_without_a_line_and_one_is_no_picture():
    trials = list(tried(4))
    assert all(len(at.lines) == 1 for at in slices(SPACE, trials).axes[:3])
    assert slices(SPACE, trials[:1]) is None


def test_a_setting_that_did_not_matter_is_no_dot():
    """Idle matters only where both are distilled on."""
    idle = replace(SIZE, when=("student.distil_on", "both"))
    trials = list(tried(20))
    for params, _ in trials:
        if params["student.distil_on"] == "labelled":
            del params["student.idle"]
    count = sum("student.idle" in params for params, _ in trials)
    assert 0 < count < 20
    shown = slices(Space(laptop(), (), (ON, idle, GAMMA)), trials).axes
    titles = {at.get_title().partition(" ")[0]: at for at in shown}
    assert len(titles["idle"].lines[0].get_xdata()) == count
    assert len(titles["gamma"].lines[0].get_xdata()) == 20


def test_settings_of_one_name_are_told_apart_and_ticks_are_readable():
    rates = [Parameter(f"{of}.lr", Range(2e-3, 2e-2, log=True)) for of in ("finetune", "optim")]
    alpha = Parameter("pretrain.alpha", Range(0.01, 1, log=True))
    ranges = [(p.path, p.values.low, p.values.high) for p in (*rates, alpha)]
    trials = [({path: low + n * (high - low) for path, low, high in ranges}, n) for n in (0, 0.99)]
    figure = slices(Space(laptop(), (*rates, alpha), ()), trials)
    figure.canvas.draw()
    assert {at.get_title(): words(at) for at in figure.axes[:3]} == {
        "finetune.lr": ["0.002", "0.005", "0.01", "0.02"],
        "optim.lr": ["0.002", "0.005", "0.01", "0.02"],
        "alpha": ["0.01", "0.1", "1"],
    }


def words(at):
    """What stands below an axis; its small ticks have no words."""
    assert not any(tick.get_text() for tick in at.get_xticklabels(minor=True))
    low, high = at.get_xlim()
    ticks = zip(at.get_xticks(), at.get_xticklabels(), strict=True)
    return [label.get_text() for at_x, label in ticks if low <= at_x <= high]


def test_a_picture_is_written_where_there_is_one(tmp_path):
    trials = list(tried(4))
    draw_search(SPACE, trials[:1], tmp_path)
    assert list(tmp_path.iterdir()) == []
    draw_search(SPACE, trials, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slices.png", "slices.svg"]
