"""The command `vpbsd verdict` in a checkout; it stands in `vpbsd_sweeps/commands/verdict.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.verdict import main

if __name__ == "__main__":
    run_main(main)
