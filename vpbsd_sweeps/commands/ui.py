"""Browse the runs of studies: start MLflow's own page on this host, or print where it runs.

vpbsd ui
vpbsd ui ablation-laptop-phantom          # prints the address of this study's trials
vpbsd ui --tracking sqlite:////data/runs/mlflow.db --port 5001
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from vpbsd.cli import command_parser
from vpbsd.errors import BadInput
from vpbsd_sweeps.cli.options import add_tracking, study_argument
from vpbsd_sweeps.tracking.sqlite import prepare

HOST = "127.0.0.1"


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("ui", __doc__)
    parser.add_argument(
        "study", type=study_argument, nargs="?", metavar="STUDY", help="whose trials to open"
    )
    add_tracking(parser)
    parser.add_argument("--port", type=int, default=5000, metavar="N", help="(default 5000)")
    return parser.parse_args()


def main() -> int:
    """Serves MLflow's page until Ctrl-C."""
    args = arguments()
    tracking: str = args.tracking
    if tracking.startswith(("http://", "https://")):
        print(f"{tracking.rstrip('/')}{_page(tracking, args.study)}")
        return 0
    _refuse_missing_database(tracking)
    _refuse_taken_port(args.port)
    prepare(tracking)
    page = _page(tracking, args.study)
    print(f"http://{HOST}:{args.port}{page}   (Ctrl-C ends it)", flush=True)
    words = ["--backend-store-uri", tracking, "--host", HOST, "--port", str(args.port)]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # its end is nothing to go on from
    with suppress(KeyboardInterrupt):
        return subprocess.run([sys.executable, "-m", "mlflow", "ui", *words]).returncode
    return 0


def _page(tracking: str, study: str | None) -> str:
    """Returns what leads from MLflow's address to a study's trials.

    Raises:
        BadInput: There is no such study; the known ones are named.
    """
    if study is None:
        return ""
    from vpbsd_sweeps.tracking.runs_page import runs_page
    from vpbsd_sweeps.tracking.tracker import open_tracker

    open_tracker(tracking, study)
    return runs_page(tracking, study)


def _refuse_missing_database(tracking: str) -> None:
    """Refuses a file that is not there: MLflow would make an empty one."""
    file = tracking.removeprefix("sqlite:///")
    if tracking != file and not Path(file).is_file():
        raise BadInput(f"there is no {file} yet: run a study, or pass its --tracking")


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise BadInput(f"--port {port}: something else answers there; pass another port")
