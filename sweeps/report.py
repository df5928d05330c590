"""The command `vpbsd report` in a checkout; it stands in `vpbsd_sweeps/commands/report.py`."""

from vpbsd.cli import run_command

if __name__ == "__main__":
    run_command("vpbsd_sweeps.commands.report")
