"""Ctrl-C and SIGTERM: a line that answers at once, then an end in good order.

Python makes Ctrl-C an exception where the program happens to be: the answer would come only when
all has been put in order, and what is raised within a callback of the interpreter is lost.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

GOES_ON = "the same command goes on from here"
_programs: list[str] = []  # the one that runs; none in a notebook
_heard: list[int] = []  # signals since the program began
_answered = threading.Event()
_stops: list[str] = []  # what is at work, and what becomes of it
_shields: list[int] = []  # how many signals had been heard when each began


def listen() -> None:
    """Has Ctrl-C and SIGTERM, as schedulers and `kill` send it, answered and end the program.

    To be called again after anything that sets handlers of its own, as Ray does. An ignored
    Ctrl-C, as in the background of a shell script, stays ignored; a notebook keeps its own.
    """
    signal.signal(signal.SIGTERM, _hear)
    if _programs and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _hear)


@contextmanager
def answered() -> Iterator[None]:
    """Listens while a program runs, and for nothing once it ends: leaving may take seconds.

    Whatever an interrupted program fails with is one KeyboardInterrupt, and its answer printed.
    """
    _programs.append(sys.argv[0])
    _heard.clear()
    _answered.clear()
    before, sys.unraisablehook = sys.unraisablehook, _raise_again
    try:
        listen()
        yield
    except KeyboardInterrupt:
        _conclude()
        raise
    except Exception:
        if not _heard:
            raise
        _conclude()  # a library made an error of its own of it
        raise KeyboardInterrupt from None
    finally:
        _programs.pop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)
        sys.unraisablehook = before


def exit_code() -> int:
    """Returns the exit code of an interrupted program: 143 after SIGTERM, else 130."""
    return 128 + (_heard[0] if _heard else signal.SIGINT)


@contextmanager
def stopping(what: str) -> Iterator[None]:
    """Says in the answer what becomes of work that is under way while the block runs.

    Args:
        what: Such as ``its stages are stopped``.
    """
    _stops.append(what)
    try:
        yield
    finally:
        _stops.pop()


@contextmanager
def shielded() -> Iterator[None]:
    """Puts off an interruption to the end of a short block that must not be left half done."""
    _shields.append(len(_heard))
    try:
        yield
    finally:
        first = _shields.pop() == 0 and bool(_heard)
    if first:
        raise KeyboardInterrupt


def _hear(number: int, _: FrameType | None) -> None:
    _heard.append(number)
    if len(_heard) == 1:  # not from here: the main thread may be in the midst of a print
        _thread.start_new_thread(_answer, (_words(),))
    if not _shields:
        raise KeyboardInterrupt


def _words() -> str:
    how = "terminated" if _heard[:1] == [signal.SIGTERM] else "interrupted"
    return f"{how}: {'; '.join([*_stops[-1:], GOES_ON])}"


def _answer(words: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it
        print(words, file=sys.stderr, flush=True)
    _answered.set()


def _conclude() -> None:
    """Waits for the answer, or gives it where no signal was the reason."""
    if _heard:
        _answered.wait(1.0)
    else:
        _answer(_words())


def _raise_again(unraisable: UnraisableHookArgs) -> None:
    """Sends a signal again whose exception the interpreter has dropped, as in a `__del__`."""
    if _heard and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.start_new_thread(_send_again, (len(_heard),))
    else:
        sys.__unraisablehook__(unraisable)


def _send_again(before: int) -> None:
    main, number = threading.main_thread().ident or 0, _heard[-1]
    while len(_heard) == before:  # one on the verge of a wait is heard only after it
        signal.pthread_kill(main, number)
        time.sleep(0.1)
