"""The command `vpbsd status` in a checkout; it stands in `vpbsd_sweeps/commands/status.py`."""

from vpbsd.cli import run_command

if __name__ == "__main__":
    run_command("vpbsd_sweeps.commands.status")
