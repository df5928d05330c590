"""What waits must stay light: neither trials nor the conductor load torch."""

import subprocess
import sys


def test_the_engine_imports_no_torch():
    code = "import sweeps.cluster, sys; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_science_imports_no_ray_optuna_or_mlflow():
    code = (
        "import pkgutil, importlib, sys, vpbsd\n"
        "for m in pkgutil.walk_packages(vpbsd.__path__, 'vpbsd.'):\n"
        "    if not m.name.endswith('__main__'):\n"
        "        importlib.import_module(m.name)\n"
        "sys.exit(any(n in sys.modules for n in ('ray', 'optuna', 'mlflow')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
