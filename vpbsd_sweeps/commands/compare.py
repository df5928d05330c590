"""VpbSD beside what it is compared with: the paper's Tables 1 and 2 on your data.

python sweeps/compare.py                        # small, on generated vessels
python sweeps/compare.py --preset paper --data DIR --seeds 0,1,2
python sweeps/compare.py --arms light_unet,kd,mt,vpbsd

Stages that an ablation has stored are not trained again. Each network is timed over 100 blocks.
"""

from __future__ import annotations

from vpbsd_sweeps.cli.sweep import arguments, sweep


def main() -> int:
    """Runs the paper's Table 1 and, timing networks, Table 2; returns the exit code."""
    return sweep("compare", arguments(__doc__, "table1"), timed=True)
