"""What waits must stay light: commands that answer at once, trials, the scheduler."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "monai", "mlflow", "optuna", "sklearn", "pandas", "scipy")


def loaded(code, *args, cwd=None):
    """The heavy modules that a fresh interpreter has loaded after running some code."""
    tail = f"\nimport sys; print('loaded', *(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *map(str, args)],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
    )
    *_, last = done.stdout.splitlines()
    return last.split()[1:]


@pytest.mark.parametrize(
    "module",
    [
        "vpbsd.settings",
        "vpbsd.pipeline.recipes",
        "vpbsd_sweeps.study.plan",
        "vpbsd_sweeps.monitor.status",
        "vpbsd_sweeps.commands.search",
    ],
)
def test_these_are_imported_without_the_heavy_ones(module):
    assert loaded(f"import {module}") == []


def test_trials_wait_without_the_science():
    """Ray's own libraries bring pandas; torch and what needs it stay out."""
    assert loaded("import vpbsd_sweeps.execution.trials") in ([], ["pandas"])


@pytest.mark.parametrize("command", ["ablation", "search"])
def test_a_plan_of_the_default_study_loads_none_of_the_heavy_ones(command, folder, tmp_path):
    code = (
        "import sys\n"
        f"from vpbsd_sweeps.commands.{command} import main\n"
        f"sys.argv = ['{command}.py', '--plan', '--data', sys.argv[1]]\n"
        "assert main() == 0"
    )
    assert loaded(code, folder, cwd=tmp_path) == []


@pytest.mark.slow  # test_house.py reads the imports of each file; this follows them
def test_the_science_runs_without_ray_optuna_and_mlflow():
    code = (
        "import pkgutil, importlib, sys, vpbsd\n"
        "sys.modules |= dict.fromkeys(('ray', 'optuna', 'mlflow'))  # importing them fails\n"
        "for m in pkgutil.walk_packages(vpbsd.__path__, 'vpbsd.'):\n"
        "    if not m.name.endswith('__main__'):\n"
        "        importlib.import_module(m.name)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
