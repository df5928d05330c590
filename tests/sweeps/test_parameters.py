"""Parameters that a search is told are read, or refused in words."""

import json

import pytest

from vpbsd.errors import BadInput
from vpbsd.search_ranges import Choice, Range
from vpbsd.settings import laptop
from vpbsd_sweeps.tuning.default_space import WIDTHS
from vpbsd_sweeps.tuning.space import parse_parameter

PARAMETERS = [
    ("student.gamma=0.1:10:log", Range(0.1, 10, log=True)),
    ("student.optim.batch=1:4", Range(1, 4, whole=True)),
    ("student.beta=0,0.5", Choice((0, 0.5))),
    ("student.distil_on=both,labelled", Choice(("both", "labelled"))),
    (WIDTHS, Choice(tuple(json.loads(f"[{WIDTHS.partition('=')[2]}]")))),
]


@pytest.mark.parametrize(("text", "values"), PARAMETERS)
def test_parameters_are_read(text, values):
    assert parse_parameter(text, laptop()).values == values


BAD = [
    ("student.gama=1:2", "did you mean 'gamma'"),
    ("student.gamma", "write it as path=low:high"),
    ("student.gamma=2:1", "low < high"),
    ("student.gamma=0:1:log", "0 < low"),
    ("student.gamma=a:b", "write it as"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_parameter_that_cannot_be_is_refused(text, why):
    with pytest.raises(BadInput, match=why):
        parse_parameter(text, laptop())
