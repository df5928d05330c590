"""The command `vpbsd compare` in a checkout; it stands in `vpbsd_sweeps/commands/compare.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.compare import main

if __name__ == "__main__":
    run_main(main)
