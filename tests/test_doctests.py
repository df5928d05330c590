"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
SHOWN = [
    ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")
    for package in ("vpbsd", "vpbsd_sweeps")
    for path in sorted((HOME / package).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", SHOWN)
def test_examples(name):
    ran = doctest.testmod(import_module(name))
    assert ran.attempted
    assert not ran.failed
