"""Real servers on this machine: MLflow's, and PostgreSQL's behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing

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
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words],
            stdout=(self.home / "server.log").open("a"),
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
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
