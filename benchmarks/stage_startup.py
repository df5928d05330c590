"""Seconds from a fresh process to the first training step of a stage, without and with imports.

    python -m benchmarks.stage_startup

Each run is a process of its own: imports of what a worker needs, then a student of the phantom's
first fold until its first losses are asked for; then the same again, as in a reused worker.
torch loads its compiler (torch._dynamo) for the first optimiser that is made, compiled or not, so
that is counted with the imports. Medians; processor time as well as the clock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from vpbsd.data.phantom_set import phantom_folder

CHILD = """
import sys, time
def now(): return time.perf_counter(), time.process_time()
start = now()
import vpbsd_sweeps.execution.worker, vpbsd.pipeline.run, vpbsd.networks.build
import torch, monai.networks.nets
needed = now()
import torch._dynamo
loaded = now()
from pathlib import Path
from tempfile import mkdtemp
from vpbsd.data.volumes import list_volumes
from vpbsd.pipeline.run import run_json
from vpbsd.section import canonical
from vpbsd.methods.supervised import Supervised
from vpbsd.settings import laptop
from vpbsd_sweeps.study.study import Study
import json
study = Study('startup', laptop(), list_volumes(sys.argv[1]), ('light_unet',))
(stage,) = [s for s in study.trials[0].stage.lineage() if s.family == 'student']
text = json.dumps(stage.describe())
class Begun(Exception): pass
def begun(self, batch, clock): raise Begun
Supervised.losses = begun
def spent(since): return [b - a for a, b in zip(since, now())]
def stage():
    ready = now()
    try: list(run_json(text, {}, Path(mkdtemp())))
    except Begun: pass
    return spent(ready)
imports, compiler = ([b - a for a, b in zip(*x)] for x in ((start, loaded), (needed, loaded)))
print(*imports, *compiler, *stage(), *stage())
"""
WHAT = ("imports", "of these torch's compiler", "first stage beyond imports", "another stage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = str(phantom_folder(Path("runs")))
    found = []
    for number in range(runs):
        words = [sys.executable, "-c", CHILD, folder]
        out = subprocess.run(words, check=True, capture_output=True, text=True).stdout  # noqa: S603
        found.append([float(word) for word in out.split()])
        print(f"{number + 1} of {runs} processes", file=sys.stderr, flush=True)
    seconds = [median(column) for column in zip(*found, strict=True)]
    for name, wall, cpu in zip(WHAT, seconds[::2], seconds[1::2], strict=True):
        print(f"{name}: {wall:.2f} s ({cpu:.2f} s of processor time)")
    print("aim: .5 s for a stage beyond imports")


if __name__ == "__main__":
    main()
