"""The command `vpbsd report` in a checkout; it stands in `vpbsd_sweeps/commands/report.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.report import main

if __name__ == "__main__":
    run_main(main)
