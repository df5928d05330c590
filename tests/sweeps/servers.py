"""Real servers on this machine: MLflow's, and PostgreSQL's behind it."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

STARTS_WITHIN = 120.0


class MlflowServer:
    """`mlflow server` on a port of its own; stopped and started at will.

    Args:
        home: Takes its artefacts, its log, and its database where none is given.
        backend: Of the server; SQLite by default.
    """

    def __init__(self, home, backend=None):
        self.home, self.port, self._process = home, free_port(), None
        self.backend = backend or f"sqlite:///{home}/server.db"
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        words = ["--backend-store-uri", self.backend, "--workers", "1"]
        words += ["--artifacts-destination", str(self.home / "artifacts")]
        words += ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.answers():
            assert self._process.poll() is None, (self.home / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)
        return self

    def answers(self):
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def stop(self):
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


def free_port():
    """One that nothing listens on, nor takes at random: those lie above."""
    while True:
        port = random.randrange(20_000, 32_000)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Postgres:
    """A PostgreSQL of its own on a port of its own; it refuses to run as root."""

    def __init__(self):
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="vpbsd-pg-"))  # pytest's are closed to others
        self.uri = f"postgresql://vpbsd@127.0.0.1:{self.port}/postgres"
        self._as = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.home, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def __enter__(self):
        self._run("initdb", "--username=vpbsd", "--auth=trust", "--no-sync", "--pgdata=data")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.home}"
        self._run("pg_ctl", "--pgdata=data", "--wait", "--log=log", "-o", options, "start")
        return self

    def __exit__(self, *error):
        self._run("pg_ctl", "--pgdata=data", "--mode=immediate", "stop")
        shutil.rmtree(self.home)

    def _run(self, program, *words):
        command = [str(Path(postgres_folder()) / program), *words]
        done = subprocess.run(
            command, cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self._as
        )
        assert done.returncode == 0, done.stderr.decode()


def postgres_folder():
    """Where PostgreSQL's programs are, or None."""
    found = shutil.which("initdb")
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(Path(found).parent) if found else str(known[-1].parent) if known else None


def why_no_postgres():
    """What this machine lacks for a PostgreSQL behind MLflow; empty if nothing."""
    lacking = [] if postgres_folder() else ["PostgreSQL's initdb"]
    try:
        import psycopg  # noqa: F401
    except ImportError:
        lacking.append("the package psycopg")
    return "this machine lacks " + " and ".join(lacking) if lacking else ""
