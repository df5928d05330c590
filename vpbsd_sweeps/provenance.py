"""Which code ran: the git commit, or the version."""

from __future__ import annotations

import functools
import subprocess
from importlib.metadata import version
from pathlib import Path


@functools.cache  # the code that this process has loaded
def commit() -> str:
    """Returns the git commit of this code, `+` behind it where files differ; or the version."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
        dirty = subprocess.run([*git, "diff", "--quiet", "HEAD"], timeout=10).returncode
    except (OSError, subprocess.SubprocessError):
        return version("vpbsd")
    return head + ("+" if dirty else "")
