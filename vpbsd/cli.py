"""Manners of the command line: one clear line for what the user got wrong, and exit code 2."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest


class Parser(argparse.ArgumentParser):
    """argparse, but an unknown option is answered in one line with the nearest known one."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if message.startswith("unrecognized") and unknown[0].startswith("--"):
            known = [o for action in self._actions for o in action.option_strings if o[:2] == "--"]
            message = f"there is no option {unknown[0]}{nearest(unknown[0], known)}"
        self.exit(2, f"error: {message}\n")


_ended: list[int] = []


def handle_sigterm() -> None:
    """SIGTERM, as schedulers and `kill` send it, ends the program in good order, as Ctrl-C does.

    To be called again after anything that sets a handler of its own, as Ray does.
    """

    def end(number: int, _: object) -> None:
        _ended.append(number)
        if callable(signal.getsignal(signal.SIGINT)):  # Tune's, while trials run
            signal.raise_signal(signal.SIGINT)
        else:  # ignored, as in the background of a shell script
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def run_main(program: Callable[[], int | None]) -> NoReturn:
    """Runs a program; bad input becomes `error: ...` and exit code 2, Ctrl-C 130, SIGTERM 143."""
    _ended.clear()
    handle_sigterm()
    try:
        code = program() or 0
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        how, code = ("terminated", 143) if _ended else ("interrupted", 130)
        print(f"{how}: the same command goes on from here", file=sys.stderr)
    finally:  # Ray takes seconds to leave; what has ended well is not to look killed meanwhile
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    sys.exit(code)
