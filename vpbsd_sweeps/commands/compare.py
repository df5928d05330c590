"""VpbSD beside what it is compared with: the paper's Tables 1 and 2 on your data.

vpbsd compare                        # small, on generated vessels
vpbsd compare --preset paper --data DIR --seeds 0,1,2
vpbsd compare --arms light_unet,kd,mt,vpbsd
vpbsd compare --labels 1,2,4,all     # the same with ever more labelled groups

Stages that an ablation has stored are not trained again. Each network is timed over 100 blocks.
"""

from __future__ import annotations

from vpbsd_sweeps.cli.sweep import arguments, sweep


def main() -> int:
    """Runs the paper's Table 1 and, timing networks, Table 2; returns the exit code."""
    return sweep("compare", arguments("compare", __doc__, "table1"), timed=True)
