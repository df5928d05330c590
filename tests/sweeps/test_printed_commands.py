"""Every command that a program prints runs as printed, from the folder it was printed in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps.test_end_to_end import CHANGES
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store

HOME = Path(__file__).parents[2]
SMALL = "--set pretrain.network.codebook.size=4 --folds 2"


@pytest.fixture(scope="module")
def place(tmp_path_factory, folder):
    """A checkout whose path has a space, seen from the folder it is in; its data beside it."""
    place = tmp_path_factory.mktemp("my place")
    for name in ("vpbsd", "vpbsd_sweeps", "sweeps"):
        shutil.copytree(HOME / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOME / name, place)
    (place / "my data").symlink_to(folder)
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "egg_info"]
    subprocess.run(setup, cwd=place, check=True, capture_output=True)  # the entry points
    return place


@pytest.fixture(scope="module")
def shell(place):
    """Runs a line of shell there; returns the process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VPBSD", "PYTHON"))}
    env |= {"PYTHONPATH": str(place), "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}

    def run(line):
        return subprocess.run(
            line, shell=True, cwd=place, env=env, capture_output=True, text=True, timeout=280
        )

    return run


def runs(shell, line):
    ran = shell(line)
    assert ran.returncode == 0, f"{line}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def swept(shell):
    """What a small sweep prints at its end."""
    words = " ".join(f"'{word}'" for word in CHANGES)
    line = (
        "python sweeps/ablation.py --data 'my data' --arms light_unet --study 'a study' --cpus 1"
    )
    return runs(shell, f"{line} {words}")


@pytest.mark.slow
def test_a_sweep_says_what_comes_next(shell, swept):
    (line,) = re.findall(r"(?m)^next     (.*)$", swept)
    assert line.startswith("python sweeps/final.py --study 'a study' --data 'my data'")
    done = runs(shell, f"{line} --cpus 1")
    assert "registered as model" in done
    (line,) = re.findall(r"(?m)^next     (.*)$", done)
    assert line.endswith(" VOLUME.ome.zarr MASK.ome.zarr")
    line = line.replace("VOLUME", "'my data'/v1").replace("MASK", "out")
    assert line.startswith("python -m vpbsd segment ")
    runs(shell, line)


@pytest.mark.slow
def test_a_sweep_says_how_to_browse(shell, swept, place):
    (line,) = re.findall(r"(?m)^browse   (.*)$", swept)
    assert line.startswith("python -m vpbsd ui 'a study' --tracking ")
    assert "--port" in runs(shell, f"{line} --help")
    url = f"sqlite:///{place}/runs/mlflow.db"
    code = f"from vpbsd_sweeps.cli.options import browse; print(browse('{url}', 'a study'))"
    assert runs(shell, f'python -c "{code}"').strip() == line


def test_examples_of_help_run(shell):
    shown = runs(shell, "python -m vpbsd ablation --help")
    examples = [x for x in shown.splitlines() if x.startswith("python -m vpbsd ablation ")]
    assert len(examples) == 8
    words = "--plan --data 'my data' --set pretrain.network.codebook.size=4"
    example = next(x for x in examples if "--plan" in x)
    assert "study ablation-laptop-" in runs(shell, example.replace("--plan", f"{words} --folds 2"))


def test_an_empty_data_folder_says_how_to_import(shell, place):
    (place / "none here").mkdir()
    ran = shell("python sweeps/ablation.py --plan --data 'none here'")
    (line,) = re.findall(r"import some with (.*)", ran.stderr)
    assert line == "python -m vpbsd import SRC... 'none here'"
    assert "DEST" in runs(shell, f"{line} --help")


@pytest.mark.slow
def test_a_driven_study_says_how_to_watch_it(shell, place):
    with study_lock("held here", Store(str(place / "runs" / "store"))):
        ran = shell("python sweeps/ablation.py --data 'my data' --study 'held here' " + SMALL)
    (line,) = re.findall(r"watch it with (.*)", ran.stderr)
    assert line.startswith("python sweeps/status.py 'held here' --store ")
    assert "--follow" in runs(shell, f"{line} --help")
