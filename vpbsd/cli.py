"""Manners of the command line: one clear line for what the user got wrong, and exit code 2.

Commands are shown to the user as this very process was called, so that they run as printed.
"""

from __future__ import annotations

import argparse
import os
import select
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from vpbsd import interruption
from vpbsd.errors import BadInput


class Parser(argparse.ArgumentParser):
    """argparse, but an unknown option is answered in one line with the nearest known one."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if message.startswith("unrecognized") and unknown[0].startswith("--"):
            from vpbsd.overrides import nearest  # Ctrl-C is answered before pydantic is imported

            known = [o for action in self._actions for o in action.option_strings if o[:2] == "--"]
            message = f"there is no option {unknown[0]}{nearest(unknown[0], known)}"
        self.exit(2, f"error: {message}\n")


def command_parser(command: str, about: str | None) -> Parser:
    """Returns the parser of a command; its help shows the examples of `about` as they run here.

    Args:
        command: Its name after ``vpbsd``.
        about: The command's docstring, whose examples begin with ``vpbsd COMMAND``.
    """
    called = invocation(command)
    return Parser(
        prog=called,
        description=(about or "").replace(f"vpbsd {command}", called).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def invocation(command: str) -> str:
    """Renders the words that run a command here, the way this process was started.

    ``vpbsd final``, ``.venv/bin/vpbsd final``, ``python -m vpbsd final`` or
    ``python sweeps/final.py``.
    """
    main = sys.modules["__main__"]
    script = Path(getattr(main, "__file__", None) or "")
    if main.__spec__ is None and script.stem == "vpbsd":
        return f"{_shown(script)} {command}"
    beside = script.parent / f"{command}.py"
    if main.__spec__ is None and script.parent.name == "sweeps" and beside.is_file():
        return f"{_python()} {_short(beside)}"
    return f"{_python()} -m vpbsd {command}"


def _python() -> str:
    """Returns this interpreter as it was typed, if that finds it again, else by its path."""
    typed = sys.orig_argv[0]
    found = shutil.which(typed)
    same = found is not None and os.path.abspath(found) == sys.executable
    return shlex.quote(typed) if same else _shown(Path(sys.executable))


def _shown(program: Path) -> str:
    """Renders a program by its name where the shell finds it, else by its path."""
    found = shutil.which(program.name)
    return program.name if found == str(program) else _short(program)


def _short(path: Path) -> str:
    """Renders a path from the current folder if it lies below it, else in full."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _unread() -> bool:
    """Tells whether nobody reads standard output any more; if so, it leads nowhere from now on."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def run_command(module: str) -> NoReturn:
    """Runs `main` of a module as a program; Ctrl-C is answered while it is imported, too."""
    run_main(lambda: import_module(module).main())


def run_main(program: Callable[[], int | None]) -> NoReturn:
    """Runs a program; bad input becomes `error: ...` and exit code 2, Ctrl-C 130, SIGTERM 143.

    Where nobody reads its output any more, as in ``vpbsd list data | head -1``, it ends quietly.
    """
    try:
        with interruption.answered():
            code = program() or 0
            sys.stdout.flush()
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        if not _unread():
            raise
        code = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        code = interruption.exit_code()
    sys.exit(code)


def add_voxel_size(parser: argparse.ArgumentParser, option: str, what: str) -> None:
    """Adds an option for the voxel size of a thing that may state none."""
    parser.add_argument(
        option,
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help=f"voxel size of {what} in um, where it states none, or another",
    )


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds `--workers`, a number of processes from 1."""
    parser.add_argument("--workers", type=_workers, metavar="N", help=what)


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of processes: give 1 or more")
    return int(text)
