"""The command `vpbsd ablation` in a checkout; it stands in `vpbsd_sweeps/commands/ablation.py`."""

from vpbsd.cli import run_main
from vpbsd_sweeps.commands.ablation import main

if __name__ == "__main__":
    run_main(main)
