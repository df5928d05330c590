"""The README's walk through a new method, followed to the letter in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks():
    """The walk's pieces of Python: the file, and its lines in the table of arms."""
    readme = (ROOT / "README.md").read_text()
    walk = readme.split("## Add a method")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", walk, re.DOTALL)


def inserted(path, before, line):
    text = path.read_text()
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, line + before))


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    home = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".*", "runs", "*.egg-info"))
    config, method, recipe = blocks()
    configs = home / "vpbsd/methods/configs.py"
    inserted(configs, "MethodConfig = (", f"{config}\n\n")
    inserted(configs, "    | SupervisedConfig\n", "    | PiConfig\n")
    (home / "vpbsd/methods/pi.py").write_text(method)
    roster = home / "vpbsd/methods/roster.py"
    inserted(roster, "    MeanTeacherConfig,\n    Patt", "    PiConfig,\n")
    inserted(roster, "\nMETHODS:", "from vpbsd.methods.pi import Pi\n")
    inserted(roster, "    PatternsConfig: Patterns,", "    PiConfig: Pi,\n")
    arms = home / "vpbsd/pipeline/arms.py"
    inserted(arms, "    SemiConfig,\n", "    PiConfig,\n")
    arms.write_text(f"{arms.read_text()}\n{recipe}")
    cases = home / "tests/test_every_method.py"
    inserted(cases, "    PatternsConfig,\n", "    PiConfig,\n")
    inserted(cases, 'PATTERNS = ("patterns"', 'METHODS["pi"] = PiConfig()\n')
    return home


def run(home, *words):
    return subprocess.run(
        [sys.executable, *words], cwd=home, capture_output=True, text=True, env={"PYTHONPATH": "."}
    )


@pytest.mark.slow
def test_the_contract_suite_covers_it(followed):
    words = ("-m", "pytest", "-n", "0", "-q", "tests/test_every_method.py", "-k", "[pi]")
    told = run(followed, *words)
    assert told.returncode == 0, told.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", told.stdout)[1]) >= 7


@pytest.mark.slow
def test_it_is_an_arm_of_the_ablation(followed):
    told = run(followed, "sweeps/ablation.py", "--arms", "light_unet,pi", "--plan")
    assert told.returncode == 0, told.stderr[-3000:]
    assert "arm pi" in told.stdout.splitlines()


@pytest.mark.slow
def test_a_defect_in_it_is_caught(followed):
    path = followed / "vpbsd/methods/pi.py"
    whole = path.read_text()
    path.write_text(whole.replace('{"sup": sup, "cons"', '{"sup": sup, "consistency"'))
    try:
        check = "tests/test_every_method.py::test_losses_and_weights_share_their_names[pi]"
        assert run(followed, "-m", "pytest", "-n", "0", "-q", check).returncode == 1
    finally:
        path.write_text(whole)
