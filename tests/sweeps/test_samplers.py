"""Samplers draw within the space and go on after a restart."""

import json
import sys

import pytest

from tests.sweeps.search_toys import STUDENTS, TEACHER
from vpbsd.cli import run_main
from vpbsd.settings import laptop
from vpbsd_sweeps.commands import search as script
from vpbsd_sweeps.tuning.default_space import WIDTHS
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import SAMPLERS
from vpbsd_sweeps.tuning.space import Space, parse_parameter


def objective(params):
    return -((params["student.gamma"] - 0.3) ** 2) - 0.5 * (params["pretrain.alpha"] - 0.7) ** 2


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_draws_within_and_goes_on_after_a_restart(sampler, tmp_path):
    def sampler_of():
        space = Space(laptop(), (TEACHER,), (STUDENTS, parse_parameter(WIDTHS, laptop())))
        return ConfigSampler(space, sampler, 0, students_per_teacher=2)

    def step(one, number):
        params = one.ask(number)
        assert one.space.holds(params)
        one.tell(number, [objective(params), 1.0][: one.objectives], ())
        return params

    unbroken = sampler_of()
    drawn = [step(unbroken, number) for number in range(14)]
    again = sampler_of()
    for number, params in enumerate(drawn[:12]):
        again.ask_again(number, params)
        again.tell(number, [objective(params), 1.0][: again.objectives], ())
    rest = [step(again, number) for number in (12, 13)]
    if sampler != "nsga2":
        assert rest == drawn[12:]
    assert len({json.dumps(params) for params in [*drawn, *rest[:1]]}) == 14 + (rest != drawn[12:])
    alphas = [params["pretrain.alpha"] for params in drawn]
    assert alphas[::2] == alphas[1::2], "two students in a row per teacher"
    assert len(set(alphas)) == 7


def test_a_teacher_whose_student_came_to_nothing_is_not_kept():
    one = ConfigSampler(Space(laptop(), (TEACHER,), (STUDENTS,)), "random", 0, 4)
    alphas = []
    for number, values in enumerate([[0.5], None, [0.5], [0.5]]):
        params = one.ask(number)
        alphas.append(params["pretrain.alpha"])
        one.tell(number, values, ())
    assert alphas[0] == alphas[1] != alphas[2] == alphas[3]


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(SAMPLERS, "gp", ("no_such_package",))
    monkeypatch.setattr(sys, "argv", ["search.py", "--sampler", "gp"])
    with pytest.raises(SystemExit) as ended:
        run_main(script.main)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("error: sampler gp needs the package no_such_package: pip install")
    assert told.count("\n") == 1
