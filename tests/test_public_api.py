"""What a notebook user imports, and how light it is."""

import inspect
import subprocess
import sys

import pytest

import vpbsd
import vpbsd_sweeps

HEAVY = ("torch", "monai", "mlflow", "optuna", "sklearn", "pandas", "ray", "zarr", "scipy")


@pytest.mark.parametrize("package", [vpbsd, vpbsd_sweeps])
def test_every_public_name_is_there_and_explained(package):
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("package", ["vpbsd", "vpbsd_sweeps"])
def test_importing_a_package_loads_nothing_heavy(package):
    code = f"import sys, {package}; print(*[m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"
