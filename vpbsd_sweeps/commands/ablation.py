"""The ablation of VpbSD: every arm on every fold, each stage trained once, tables at the end.

python sweeps/ablation.py                       # small, on generated vessels
python sweeps/ablation.py --data DIR            # on your volumes
python sweeps/ablation.py --preset paper --data DIR --seeds 0,1,2
python sweeps/ablation.py --arms table3,alignment,extras
python sweeps/ablation.py --plan                # what would be run, and stop
"""

from __future__ import annotations

from vpbsd_sweeps.cli.sweep import arguments, sweep


def main() -> int:
    """Runs the paper's Table 3, unless other arms are asked for; returns the exit code."""
    return sweep("ablation", arguments(__doc__, "table3"))
