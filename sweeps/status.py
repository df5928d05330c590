"""The command `vpbsd status` in a checkout; it stands in `vpbsd_sweeps/commands/status.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.status import main

if __name__ == "__main__":
    run_main(main)
