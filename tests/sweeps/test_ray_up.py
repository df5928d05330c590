"""`ray up`, `ray exec` and `ray down` from end to end, with stand-ins for ssh, rsync and root.

Real are the launcher, its order of commands, our scripts in cluster/, the Ray head they start and
the program that joins it. stand_in.sh stands in for the rest.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).parents[2]
NAMES = "ssh rsync sudo apt-get psql createuser createdb curl python3 tmux"
PROFILE = "export PATH=$SANDBOX/bin:/usr/bin:/bin\n"
JOIN = (
    "RAY_ADDRESS=127.0.0.1:{port} python -c 'import os, vpbsd_sweeps as ours; "
    "from vpbsd_sweeps.execution import cluster; "
    'cluster.connect(); print("joined", cluster.describe(), os.environ["VPBSD_STORE"], '
    "os.getcwd(), ours.__file__)'"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="the cluster's scripts need bash"),
]


@pytest.fixture
def sandbox():
    """A laptop and a node in one folder, whose path is short enough for Ray's sockets."""
    place = Path(tempfile.mkdtemp(prefix="up", dir="/tmp"))
    for name in ("laptop/.ray", "node", "bin", "mount"):
        (place / name).mkdir(parents=True)
    for name in NAMES.split():
        (place / "bin" / name).symlink_to(HOME / "tests" / "sweeps" / "stand_in.sh")
    (place / "laptop" / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    (place / "node" / ".bash_profile").write_text(PROFILE)
    (place / "node" / ".bashrc").touch()
    yield place
    subprocess.run(["pkill", "-KILL", "-f", "--", f"{place}/ray/"], check=False)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def ray(sandbox, port):
    """Runs a command of Ray's launcher on the laptop; returns what it said."""
    text = (HOME / "ray_cluster.onprem.yaml").read_text()
    config = yaml.safe_load(text.replace("/YOUR-MOUNT", f"{sandbox}/mount"))
    config["provider"] = {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []}
    config["auth"] = {"ssh_user": getpass.getuser()}
    file = sandbox / "cluster.yaml"
    file.write_text(yaml.safe_dump(config))
    places = {"SANDBOX": sandbox, "HOME": sandbox / "laptop", "RAY_TMPDIR": sandbox / "laptop"}
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "VPBSD_", "PYTHON"))}
    env |= {name: str(place) for name, place in places.items()}
    env |= {"PYTHON": sys.executable, "PORT": str(port)}
    env["PATH"] = f"{sandbox}/bin:{env['PATH']}"

    def run(verb, *words):
        program = Path(sys.executable).with_name("ray")
        told = subprocess.run(
            [program, verb, *words[:1], file, *words[1:]],
            cwd=HOME,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout + told.stderr

    return run


def test_up_exec_up_again_and_down(ray, sandbox, port):
    node = sandbox / "node"
    ray("up", "-y", "--no-config-cache")
    log = (sandbox / "log").read_text().splitlines()
    installs = [line for line in log if line.startswith("pip install")]
    assert installs == ["pip install --quiet --constraint constraints.txt --editable .[server]"]
    assert (node / "vpbsd" / "vpbsd" / "data" / "volumes.py").exists(), "the whole package"
    assert (node / "vpbsd" / ".git").exists(), "runs name their commit"
    assert (node / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    (server,) = [line for line in log if line.startswith("mlflow server")]
    assert "--host 127.0.0.1" in server
    assert f"--artifacts-destination {sandbox}/mount/vpbsd/mlflow" in server

    command = JOIN.format(port=port)
    told = ray("exec", "--no-config-cache", command)
    (joined,) = [line for line in told.splitlines() if line.startswith("joined 1 cores")]
    assert joined.split()[-3:] == [
        f"{sandbox}/mount/vpbsd/store",
        f"{node}/vpbsd",
        f"{node}/vpbsd/vpbsd_sweeps/__init__.py",
    ]

    ray("up", "-y", "--no-config-cache")
    log = (sandbox / "log").read_text().splitlines()
    for once in ("mlflow server", "createuser", "createdb"):
        assert sum(line.startswith(once) for line in log) == 1, f"{once} again"
    assert (node / ".bashrc").read_text() == ". ~/.vpbsd\n"

    ray("down", "-y")
    left = subprocess.run(["pgrep", "-f", f"{sandbox}/ray/"], capture_output=True, text=True)
    assert left.stdout == ""


def test_a_bucket_that_was_not_filled_in_is_refused(sandbox):
    env = {**os.environ, "HOME": str(sandbox / "laptop"), "VPBSD_PLACE": "s3://YOUR-BUCKET"}
    script = HOME / "cluster" / "setup.sh"
    told = subprocess.run(["bash", script], env=env, capture_output=True, text=True)
    assert told.returncode == 1
    assert told.stderr == "error: put your bucket or folder for s3://YOUR-BUCKET\n"
