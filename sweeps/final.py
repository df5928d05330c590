"""The command `vpbsd final` in a checkout; it stands in `vpbsd_sweeps/commands/final.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.final import main

if __name__ == "__main__":
    run_main(main)
