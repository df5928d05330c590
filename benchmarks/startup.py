"""Processor time until commands that train nothing have answered, before and after a change.

    python benchmarks/startup.py                              # this checkout
    python benchmarks/startup.py --against DIR                # and another one, in turns
    python benchmarks/startup.py --store URL --study NAME     # with stages and a study to look at

User and system seconds of the whole child process, median of five runs; wall time would measure
what else the machine does. The generated vessels are made first, so that no plan pays for them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen

from vpbsd.data.phantom_set import phantom_folder

HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        given.data = phantom_folder(given.home).resolve()
        store = given.store or f"{scratch}/store"
        named = {"here": HERE} | ({"there": given.against.resolve()} if given.against else {})
        print("command                      " + "".join(f"{name:>9}" for name in named))
        for name, words in commands(given, store).items():
            spent: dict[str, list[float]] = {name: [] for name in named}
            for _ in range(given.repeat):  # in turns: a busy machine is busy for both
                for side, checkout in named.items():
                    spent[side].append(seconds(checkout, words, scratch))
            middle = [median(times) for times in spent.values()]
            ratio = f"{middle[1] / middle[0]:8.1f} x" if len(middle) == 2 else ""
            print(f"{name:<29}" + "".join(f"{m:7.2f} s" for m in middle) + ratio, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--home", type=Path, default=Path("runs"), help="of the generated vessels")
    parser.add_argument("--store", metavar="URL", help="default: an empty one")
    parser.add_argument("--study", metavar="NAME", help="whose status is asked for")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    return parser.parse_args()


def commands(given: argparse.Namespace, store: str) -> dict[str, list[str]]:
    """Name -> words after `python`, relative to a checkout."""
    places = ["--data", str(given.data), "--store", store]
    known = {
        "ablation.py --help": ["sweeps/ablation.py", "--help"],
        "ablation.py --plan": ["sweeps/ablation.py", "--plan", *places],
        "search.py --help": ["sweeps/search.py", "--help"],
        "search.py --plan": ["sweeps/search.py", "--plan", *places],
        "vpbsd --help": ["-m", "vpbsd", "--help"],
    }
    if given.study:
        known["status.py STUDY"] = ["sweeps/status.py", given.study, "--store", store]
    return known


def seconds(checkout: Path, words: list[str], scratch: str) -> float:
    """Runs a command of a checkout; returns its user and system seconds.

    Raises:
        SystemExit: It failed.
    """
    script = [str(checkout / words[0]), *words[1:]] if words[0].endswith(".py") else words
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    child = Popen([sys.executable, *script], stdout=DEVNULL, env=environment, cwd=scratch)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{checkout}: {' '.join(words)} failed")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
