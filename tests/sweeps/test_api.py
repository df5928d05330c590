"""The study that the package's docstring plans and runs from Python."""

import re
from textwrap import dedent

import pytest

import vpbsd_sweeps
from tests.sweeps.test_end_to_end import SETTINGS


@pytest.mark.slow
def test_the_documented_study_runs(folder, two_cores, tmp_path, monkeypatch, capsys):
    """The very text of the docstring, on the smallest data and with few steps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(folder)
    example = dedent(re.search(r"(?s)    from vpbsd_sweeps.*?\n\n(?=\w)", vpbsd_sweeps.__doc__)[0])
    small = "".join(f', "{path}": {value}' for path, value in SETTINGS.items())
    cut = example.replace('"protocol.folds": 2', f'"student.beta": 1.0{small}')
    names = {}
    exec(cut.replace('"light_unet", "vpbsd"', '"light_unet"'), names)
    result, shown = names["result"], capsys.readouterr().out
    assert result.complete
    assert [(t.arm, t.fold) for t in result.trials] == [("light_unet", 0), ("light_unet", 1)]
    assert "study gamma-half: 1 arms, 2 folds, 1 seeds = 2 trials" in shown
    assert "| Light UNet (baseline)" in result.table
    for trial in result.trials:
        assert f"{trial.arm} {trial.fold} 0 {trial.score('dsc')}" in shown
    assert names["plan_study"](names["study"]).inventory.missing == []
    assert example.count("\n") <= 24
