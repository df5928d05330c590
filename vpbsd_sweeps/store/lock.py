"""One driver per study: a lease on its name, checked at every write of its files."""

from __future__ import annotations

import logging
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from shlex import quote

from vpbsd.cli import invocation
from vpbsd.errors import BadInput
from vpbsd.interruption import shielded
from vpbsd_sweeps.store.lease import Hold, Lease, Silence, Term, beat_every, machine, stale
from vpbsd_sweeps.store.results import Store

log = logging.getLogger(__name__)


@contextmanager
def study_lock(study: str, store: Store) -> Iterator[Hold]:
    """Holds a study's lock while the block runs; its last term says how the study was left.

    Where another driver seems to hold it, this looks for its next beat: up to ten seconds if it
    lives, a minute if it is gone without a word.

    Raises:
        BadInput: Another driver holds it: where, and what to do.
        LeaseLost: This process was suspended for so long that another driver has taken over.
    """
    hold = Hold(_lease(study, store), _take(study, store))
    try:
        with (
            store.studies.guarded(study, hold.check),
            _interruptible() as interrupt,
            hold.beating(interrupt),
        ):
            yield hold
    except KeyboardInterrupt:
        if hold.lost:
            raise hold.lost from None
        raise
    finally:
        with shielded():  # from a second Ctrl-C: the next driver would wait for a minute
            hold.lease.end(hold.term)


def holder(study: str, store: Store) -> Term | None:
    """Finds who drives a study, as far as one look can tell; for people, not to decide anything.

    Returns:
        The newest term, unless it is over or its last beat is long ago by the clocks; or None.
    """
    driver = _newest(study, store)
    if driver is None or driver.is_over or time.time() - driver.time > stale():
        return None
    return driver


def _take(study: str, store: Store) -> Term:
    lease, silence = _lease(study, store), Silence()
    while True:
        other = _newest(study, store)
        silent = silence.seconds(other)
        if other is None or other.is_over or silent >= stale():
            term = lease.take(other)
            if term is not None:
                return term
        elif silence.heard:
            raise BadInput(
                f"study '{study}' is being driven by process {other.pid} on {other.host}: wait "
                f"for it, end it, or watch it with {invocation('status')} {quote(study)} "
                f"--store {quote(store.url)}"
            )
        elif silent == 0:
            log.warning(
                "study '%s' was driven by process %s on %s: looking whether it still is, for %g "
                "seconds at most", study, other.pid, other.host, stale()
            )  # fmt: skip
        time.sleep(beat_every() / 10)


def _lease(study: str, store: Store) -> Lease:
    return Lease(store.files, f"studies/{study}/driver", f"study '{study}'")


def _newest(study: str, store: Store) -> Term | None:
    """Reads the newest term; one of an earlier version has no number, and its time is its beat."""
    term = _lease(study, store).look()
    old = None if term else store.studies.read_json(f"{study}/driver.json")
    if old is None:
        return term
    term = replace(Term(0), **old, beats=old["time"])
    return replace(term, machine=machine()) if term.host == platform.node() else term


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Yields what interrupts the main thread as Ctrl-C does, if that is where the lock is held.

    It does so by SIGURG, which a process ignores unless it listens: one that comes late does no
    harm.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # whoever drives from a thread of its own finds out when it writes
        return
    main, heard = threading.main_thread().ident or 0, threading.Event()

    def hear(number: int, frame: object) -> None:
        heard.set()
        raise KeyboardInterrupt

    def interrupt() -> None:
        while not heard.wait(0.1):  # a signal on the verge of a wait is heard only after the wait
            signal.pthread_kill(main, signal.SIGURG)

    before = signal.signal(signal.SIGURG, hear)
    try:
        yield interrupt
    finally:
        heard.set()
        signal.signal(signal.SIGURG, before)
