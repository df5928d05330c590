"""What `pip install .` brings: a wheel that holds two packages, their data, and one program."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

HOME = Path(__file__).parents[1]
COMMANDS = "import list check segment ablation compare search final report status run ui"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of what git knows of, made with the setuptools of this environment."""
    room = tmp_path_factory.mktemp("wheel")
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=HOME, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (HOME / name).is_file():
            copy = room / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((HOME / name).read_bytes())
    build = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, room]
    subprocess.run(command, cwd=room / "source", env=clean(), check=True, capture_output=True)
    (made,) = room.glob("*.whl")
    return made


def clean():
    """An environment in which no other copy of the package is found."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VPBSD"))}


def test_a_wheel_holds_the_two_packages_and_their_data(wheel):
    names = ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"vpbsd", "vpbsd_sweeps"}
    for name in ("vpbsd/py.typed", "vpbsd_sweeps/py.typed"):
        assert name in names
    assert "vpbsd_sweeps/reporting/report.html.j2" in names
    sources = {
        path.relative_to(HOME).as_posix()
        for package in ("vpbsd", "vpbsd_sweeps")
        for path in (HOME / package).rglob("*.py")
    }
    assert sources <= set(names)


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_has_all_commands(wheel, folder, tmp_path):
    """Libraries come from this environment by a .pth, so that it takes seconds."""
    venv.create(tmp_path / "venv", with_pip=False)
    programs = tmp_path / "venv" / "bin"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    env = clean()
    env["PATH"] = f"{programs}:{env['PATH']}"
    pip = [sys.executable, "-m", "pip", f"--python={programs}/python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], env=env, check=True)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*words):
        ran = subprocess.run(words, cwd=elsewhere, env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    shown = run("vpbsd", "--help")
    assert "usage: vpbsd COMMAND" in shown
    for name in COMMANDS.split():
        assert f"\n  {name} " in shown
    assert run("vpbsd", "list", folder).startswith("v0  group animal0")
    assert "fold 0: trains on" in run("vpbsd", "check", folder)
    words = ["ablation", "--plan", "--data", folder, "--set", "pretrain.network.codebook.size=4"]
    assert "study ablation-laptop-" in run("vpbsd", *words)
    assert "usage: python -m vpbsd ablation" in run("python", "-m", "vpbsd", "ablation", "--help")
    inside = "import vpbsd, vpbsd_sweeps; print(vpbsd.__file__, vpbsd_sweeps.__file__)"
    assert run("python", "-c", inside).count(str(site)) == 2
