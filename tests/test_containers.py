"""The image for Docker and that for Apptainer: what they copy is there, and both hold the same."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCKER = (ROOT / "Dockerfile").read_text()
APPTAINER = (ROOT / "cluster" / "vpbsd.def").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def copied_by_docker():
    lines = re.findall(r"(?m)^COPY (.+)$", DOCKER)
    return {source for line in lines for source in line.split()[:-1]}


def copied_by_apptainer():
    (section,) = re.findall(r"(?ms)^%files\n(.*?)^%", APPTAINER)
    pairs = [line.split() for line in section.splitlines() if line.strip()]
    assert all(to == f"/opt/vpbsd/{source}" for source, to in pairs)
    return {source for source, _ in pairs}


def test_what_is_copied_is_there_and_enough_to_install():
    packages = {p.split(".")[0] for p in ("vpbsd", "vpbsd_sweeps")}
    needed = {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]}
    assert copied_by_docker() == copied_by_apptainer() == needed | packages
    assert all((ROOT / name).exists() for name in copied_by_docker())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied_by_docker()


def test_both_install_the_same_on_the_same_python():
    (docker,), (apptainer,) = (
        re.findall(r"(pip install .*)$", text, re.MULTILINE) for text in (DOCKER, APPTAINER)
    )
    assert docker == apptainer
    assert "--constraint constraints.txt" in docker
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', docker)
    assert set(extras.split(",")) == PROJECT["optional-dependencies"].keys() - {"dev"}
    (of_docker,), (of_apptainer,) = (
        re.findall(r"(?m)^(?:FROM|From:) (.+)$", text) for text in (DOCKER, APPTAINER)
    )
    assert of_docker == of_apptainer
    least = PROJECT["requires-python"].removeprefix(">=")
    assert of_docker.startswith(f"python:{least}-")


def test_both_run_the_program():
    assert PROJECT["scripts"].keys() >= {"vpbsd"}
    assert 'ENTRYPOINT ["vpbsd"]' in DOCKER
    assert 'exec vpbsd "$@"' in APPTAINER


def test_the_dockerfile_is_clean():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    ran = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
