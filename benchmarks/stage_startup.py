"""Seconds from a fresh process to the first training step of a stage, without and with imports.

    python -m benchmarks.stage_startup

Each run is a process of its own: imports of what a worker needs, then a student of the phantom's
first fold until its first losses are asked for. Medians; processor time as well as the clock.
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
ready = now()
try: list(run_json(text, {}, Path(mkdtemp())))
except Begun: pass
print(*(b - a for a, b in zip(start, loaded)), *(b - a for a, b in zip(ready, now())))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = str(phantom_folder(Path("runs")))
    found = []
    for _ in range(runs):
        words = [sys.executable, "-c", CHILD, folder]
        out = subprocess.run(words, check=True, capture_output=True, text=True).stdout  # noqa: S603
        found.append([float(word) for word in out.split()])
    wall, cpu, wall_stage, cpu_stage = (median(column) for column in zip(*found, strict=True))
    print(f"imports {wall:.2f} s ({cpu:.2f} s of processor time)")
    print(f"beyond imports {wall_stage:.2f} s ({cpu_stage:.2f} s of processor time); aim .5 s")


if __name__ == "__main__":
    main()
