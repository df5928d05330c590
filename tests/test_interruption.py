"""Ctrl-C: one line at once, an end in good order, wherever the program happens to be."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from vpbsd.inference.machine import start_worker
from vpbsd.interruption import GOES_ON

PRESS = "os.kill(os.getpid(), signal.SIGINT)"
HEAD = "import atexit, os, signal, sys, time\nfrom vpbsd.cli import run_command, run_main\n"


def ended(code, **more):
    """Runs a program; returns its exit code, and what it said on standard error."""
    run = subprocess.run(
        [sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=60, **more
    )
    return run.returncode, run.stderr


IN_A_CALLBACK = f"""
class Dropped:
    def __del__(self):
        {PRESS}
        time.sleep(1)

def main():
    Dropped()
    time.sleep(600)

run_main(main)
"""
MADE_AN_ERROR = f"""
def main():
    try:
        {PRESS}
        time.sleep(600)
    except KeyboardInterrupt:
        raise RuntimeError("a library failed")

run_main(main)
"""
IN_A_PRINT = f"""
class Slow:
    def write(self, text):
        {PRESS}
        time.sleep(600)

def main():
    print("x", file=Slow())

run_main(main)
"""
TWICE = f"""
from vpbsd.interruption import shielded

def main():
    try:
        {PRESS}
        time.sleep(600)
    finally:
        with shielded():
            {PRESS}
            time.sleep(0.1)
            print("left in good order", file=sys.stderr)

run_main(main)
"""
AND_ON_THE_WAY_OUT = f"""
atexit.register(lambda: {PRESS})
run_main(lambda: {PRESS})
"""


@pytest.mark.parametrize(
    ("code", "more"),
    [
        (IN_A_CALLBACK, []),
        (MADE_AN_ERROR, []),
        (IN_A_PRINT, []),
        (TWICE, ["left in good order"]),
        (AND_ON_THE_WAY_OUT, []),
    ],
)
def test_it_is_answered_in_one_line(code, more):
    code, said = ended(code)
    assert code == 130
    assert sorted(said.splitlines()) == [f"interrupted: {GOES_ON}", *more]


def test_it_is_answered_while_a_command_is_imported(tmp_path):
    (tmp_path / "heavy.py").write_text(f"import os, signal, time\n{PRESS}\ntime.sleep(600)\n")
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    assert ended("run_command('heavy')", env=path) == (130, f"interrupted: {GOES_ON}\n")


def test_one_that_comes_first_in_a_shielded_block_is_heard_after_it():
    code = f"""
from vpbsd.interruption import shielded, stopping

def main():
    with stopping("work is stopped"), shielded():
        {PRESS}
        time.sleep(0.1)
        print("whole", file=sys.stderr)
    print("never", file=sys.stderr)

run_main(main)
"""
    code, said = ended(code)
    assert code == 130
    assert sorted(said.splitlines()) == [f"interrupted: work is stopped; {GOES_ON}", "whole"]


def _tells_what_it_hears(link):
    link.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


def test_a_worker_leaves_it_to_its_parent_from_the_beginning():
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=_tells_what_it_hears, args=(theirs,))
    start_worker(process)
    assert mine.recv()
    process.join()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
