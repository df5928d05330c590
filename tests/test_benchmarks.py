"""Benchmarks of `make bench` follow the code: each can be imported."""

import re
from importlib import import_module
from pathlib import Path

import pytest

MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()
NAMES = [
    name
    for line in re.findall(r"^BENCHMARKS\w* = (.+)$", MAKEFILE, re.MULTILINE)
    for name in line.split()
]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_imported(name):
    assert callable(import_module(f"benchmarks.{name}").main)
