"""Run `python sweeps/search.py --help`: what it does stands in `vpbsd_sweeps/commands/search.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.search import main

if __name__ == "__main__":
    run_main(main)
