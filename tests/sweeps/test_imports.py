"""What waits must stay light: neither trials nor the scheduler load torch."""

import subprocess
import sys


def test_the_engine_imports_no_torch():
    code = "import vpbsd_sweeps.execution.trials, sys; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_science_runs_without_ray_optuna_and_mlflow():
    code = (
        "import pkgutil, importlib, sys, vpbsd\n"
        "sys.modules |= dict.fromkeys(('ray', 'optuna', 'mlflow'))  # importing them fails\n"
        "for m in pkgutil.walk_packages(vpbsd.__path__, 'vpbsd.'):\n"
        "    if not m.name.endswith('__main__'):\n"
        "        importlib.import_module(m.name)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
