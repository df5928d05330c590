"""Generated vessels by their options: which set, where it lies, what a study of it is called."""

import argparse

import pytest

from vpbsd.data.phantom_wide import GROUPS
from vpbsd_sweeps.cli import options


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Reads a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VPBSD_DATA", raising=False)

    def arguments(*words):
        parser = argparse.ArgumentParser()
        options.add_places(parser)
        options.add_settings(parser)
        parser.add_argument("--study")
        return parser.parse_args(words)

    return arguments


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "ablation-laptop-phantom"),
        (["--phantom", "plain"], "ablation-laptop-phantom"),
        (["--phantom", "wide"], "ablation-laptop-phantom-wide"),
        (["--phantom", "wide", "--split", "space"], "ablation-laptop-phantom-wide-space"),
        (["--phantom", "wide", "--study", "mine"], "mine"),
    ],
)
def test_the_name_of_a_study_says_which_vessels(read, words, name):
    assert options.study_name(read(*words), "ablation") == name


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([], None),
        (["--phantom", "wide"], "runs/phantom-2-wide"),
        (["--phantom", "wide", "--preset", "smoke"], "runs/phantom-2-wide-small"),
        (["--preset", "smoke"], "runs/phantom-2-small"),
    ],
)
def test_the_next_command_finds_the_same_vessels(read, words, place):
    given = options.given_places(read(*words))
    assert (f" --data {place} " in given) if place else ("--data" not in given)


def test_wide_vessels_are_generated_once_and_all_labelled(read, capsys):
    args = read("--phantom", "wide", "--preset", "smoke")
    volumes = options.volumes_of(args)
    assert len(volumes) == 6 < GROUPS
    assert all(v.labelled for v in volumes)
    assert "generating" in capsys.readouterr().err
    assert options.volumes_of(args) == volumes
    assert "generating" not in capsys.readouterr().err
