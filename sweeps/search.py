"""The command `vpbsd search` in a checkout; it stands in `vpbsd_sweeps/commands/search.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.search import main

if __name__ == "__main__":
    run_main(main)
