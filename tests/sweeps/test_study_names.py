"""Names of studies: what is no folder, experiment and command line's word anywhere is refused."""

import sys
from types import SimpleNamespace

import pytest

from vpbsd.cli import run_main
from vpbsd.errors import BadInput
from vpbsd_sweeps.api import make_study
from vpbsd_sweeps.cli.options import study_name
from vpbsd_sweeps.commands import ablation, final, report, search, status, ui, verdict
from vpbsd_sweeps.study.names import study_named

WRONG = (
    "a/b",
    "..",
    ".a",
    "a.",
    "a ",
    " ",
    "",
    "-x",
    "--plan",
    "a\nb",
    "a\0b",
    "a\u2028b",
    "s3://x",
)
WRONG += ("a\\b", "a:b", "*", "m[1]", "x" * 101, "\U0001f9e0" * 60, "\udcff")


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_would_not_do_everywhere_is_refused_in_a_line(name):
    with pytest.raises(BadInput, match="^no study can have the name .*$") as refused:
        study_named(name)
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name", ["M\u00e4use (2), 50% it's", "\U0001f9e0", "%s", "x" * 100, "$HOME;"]
)
def test_others_stay_as_they_are(name):
    assert study_named(name) == name


def test_accents_are_written_in_one_way():
    assert study_named("Ma\u0308use") == "M\u00e4use"


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (ablation.main, ["--study", "../x"]),
        (search.main, ["--study", "../x"]),
        (search.main, ["--warm-from", "../x"]),
        (final.main, ["--study", "../x"]),
        (report.main, ["../x"]),
        (status.main, ["../x"]),
        (verdict.main, ["../x"]),
        (ui.main, ["../x"]),
    ],
)
def test_every_command_refuses_it(main, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program", *words])
    with pytest.raises(SystemExit) as ended:
        run_main(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("no study can have the name '../x': leave out /\n")
    assert not list(tmp_path.iterdir())


def test_so_does_python_and_a_folder_whose_name_makes_one(tmp_path, folder):
    with pytest.raises(BadInput, match="no study can have the name"):
        make_study("../x", folder, ["light_unet"])
    odd = tmp_path / "scans [1]"
    args = SimpleNamespace(
        study=None, phantom="plain", data=str(odd), split=None, protocol=None, preset="smoke"
    )
    with pytest.raises(BadInput, match=r"'ablation-smoke-scans \[1\]'.*pass --study NAME"):
        study_name(args, "ablation")
