"""Leases: a name in the store that one process at a time holds, whatever kind of store it is.

A lease is a folder of numbered files, its terms. Whoever creates the next number holds the lease
from then on: a file is created only where there is none (`FileStore.create`), so one of any
number of rivals wins, and the number is the fencing number: an earlier holder that wakes up finds
a higher one. The holder counts beats in its file. No two clocks are compared: a holder is gone
when one observer has seen the same beat for `stale()` seconds of its own.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from vpbsd.errors import BadInput
from vpbsd_sweeps.patience import patiently
from vpbsd_sweeps.periodic import periodically
from vpbsd_sweeps.store.files import FileStore, encode

ENDED = "ended"


def stale() -> float:
    """Returns after how many silent seconds a holder is gone: `VPBSD_LEASE_SECONDS`, else 60."""
    return float(os.environ.get("VPBSD_LEASE_SECONDS", "60"))


def beat_every() -> float:
    """Returns the seconds between two beats: five may fail before the lease lapses."""
    return stale() / 6


class LeaseLost(BadInput):  # noqa: N818 (it is what has happened to a lease)
    """Another process holds the lease by now; whoever held it before must write nothing more."""


@dataclass(frozen=True)
class Term:
    """One holder's time with a lease.

    Attributes:
        number: Grows with every holder: the fencing number.
        id: Of the holder.
        host, pid: Of the holder's process.
        machine: Its boot and process namespace, within which the pid says whether it lives.
        beats: How often it was heard.
        state: ``running`` or ``ended``.
        time: Of the last beat by the holder's clock, in seconds since 1970: for people only.
    """

    number: int
    id: str = ""
    host: str = "?"
    pid: int = 0
    machine: str = ""
    beats: float = 0
    state: str = "running"
    time: float = 0.0

    @classmethod
    def read(cls, number: int, text: bytes) -> Term:
        """Reads a term's file; one that is not wholly there yet is somebody's all the same."""
        try:
            return cls(**json.loads(text) | {"number": number})
        except (ValueError, TypeError):
            return cls(number)

    def encode(self) -> bytes:
        """Writes the term as it is stored."""
        return encode(asdict(self))

    @property
    def is_over(self) -> bool:
        """True where the holder has ended it, or is known to be dead: nobody need wait."""
        died_here = self.machine == machine() and not is_alive(self.pid)
        return self.state == ENDED or died_here


class Lease:
    """A name that one process at a time holds; may be pickled.

    Attributes:
        title: The name as people read it.
    """

    def __init__(self, files: FileStore, folder: str, title: str) -> None:
        self._files, self._folder, self.title = files, folder, title

    def look(self) -> Term | None:
        """Reads the newest term; None where nobody ever held the lease."""
        while numbers := self._numbers():
            text = self._files.read(self._place(numbers[-1]))
            if text is not None:  # else another was taken in between, and this one tidied away
                return Term.read(numbers[-1], text)
        return None

    def take(self, before: Term | None, owner: str = "") -> Term | None:
        """Begins the next term.

        Args:
            before: The newest term, which is over or has lapsed; None: there is none.
            owner: Names the holder; one of two terms may name the same one.

        Returns:
            The new term; None where another process was faster.
        """
        number = before.number + 1 if before else 1
        me = (owner or uuid4().hex, platform.node(), os.getpid(), machine())
        term = Term(number, *me, time=time.time())
        place = self._place(number)
        try:
            patiently(lambda: self._files.create(place, term.encode()), but=(FileExistsError,))
        except FileExistsError:
            return None
        numbers = patiently(self._numbers)
        if numbers[-1:] != [number]:  # so late that the number had been used and tidied away
            self._files.remove(place)
            return None
        with suppress(Exception):  # whoever comes next tidies them away
            for old in numbers[:-1]:
                self._files.remove(self._place(old))
        return term

    def check(self, term: Term) -> None:
        """Finds out whether a term is still the newest.

        Raises:
            LeaseLost: It is not: who holds the lease now.
        """
        now = self.look()
        if now is None or (now.number, now.id) != (term.number, term.id):
            by = f" by process {now.pid} on {now.host}" if now and now.pid else ""
            raise LeaseLost(
                f"{self.title} was taken over{by}, because this process was silent for "
                f"{stale():g} seconds: it has stopped here and goes on there"
            )

    def renew(self, term: Term) -> Term:
        """Beats once.

        Raises:
            LeaseLost: The lease is another's.
        """
        self.check(term)
        heard = replace(term, beats=term.beats + 1, time=time.time())
        self._files.write(self._place(term.number), heard.encode())
        return heard

    def end(self, term: Term, forget: bool = False) -> None:
        """Ends a term, so that nobody waits for it to lapse, unless it is lost.

        Args:
            term: The holder's.
            forget: Leave nothing behind: nobody will want this lease again.
        """
        with suppress(Exception):  # where the store is away, it lapses
            self.check(term)
            if forget:
                self._files.remove_folder(self._folder)
            else:
                ended = replace(term, state=ENDED, time=time.time())
                self._files.write(self._place(term.number), ended.encode())

    def _numbers(self) -> list[int]:
        stems = (name.removesuffix(".json") for name in self._files.sizes(self._folder))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _place(self, number: int) -> str:
        return f"{self._folder}/{number:08d}.json"


class Hold:
    """A lease in the hands of this process.

    Attributes:
        lease: The lease.
        term: Its newest beat.
        lost: Why it is held no longer, if it was lost.
    """

    def __init__(self, lease: Lease, term: Term) -> None:
        self.lease, self.term = lease, term
        self.lost: LeaseLost | None = None

    def check(self) -> int:
        """Returns the fencing number, to be asked for before anything is written.

        Raises:
            LeaseLost: The lease is another's.
        """
        self.lease.check(self.term)
        return self.term.number

    @contextmanager
    def beating(self, on_lost: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Beats while the block runs, from a thread; a beat that fails is tried again.

        Args:
            on_lost: Called once, from that thread, when the lease is found to be another's.
        """

        def beat() -> None:
            if self.lost is None:
                try:
                    self.term = self.lease.renew(self.term)
                except LeaseLost as lost:
                    self.lost = lost
                    on_lost()

        with periodically(beat, beat_every()):
            yield


class Silence:
    """How long one observer has seen the same beat, by its own monotonic clock.

    Time in which it could not look, since the store was away or it was suspended, hardly counts.
    """

    def __init__(self) -> None:
        self._beat: tuple[int, float] | None = None
        self._looks, self._seconds, self._at = 0, 0.0, 0.0
        self.heard = False
        """True once a beat was seen after another: the holder lives."""

    def seconds(self, term: Term | None) -> float:
        """Takes a look, and returns the seconds since this beat was new to the observer."""
        now, beat = time.monotonic(), (term.number, term.beats) if term else None
        if self._looks and beat == self._beat:
            self._seconds += min(now - self._at, beat_every())
        else:
            self._seconds, self.heard = 0.0, self._looks > 0
        self._beat, self._at, self._looks = beat, now, self._looks + 1
        return self._seconds


def machine() -> str:
    """Identifies this boot of this machine, and the processes that can be seen here.

    Two containers on one host may have one host name, and see each other's pids as dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return platform.node()


def is_alive(pid: int) -> bool:
    """Tells whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
