"""The ablation of VpbSD: every arm on every fold, each stage trained once, tables at the end.

vpbsd ablation                       # small, on generated vessels
vpbsd ablation --data DIR            # on your volumes
vpbsd ablation --preset paper --data DIR --seeds 0,1,2
vpbsd ablation --arms table3,alignment,extras
vpbsd ablation --labels 1,2,4,all    # DSC against the number of labelled groups
vpbsd ablation --normalise auto      # chosen per fold on its training groups
vpbsd ablation --external nnunet=predictions/   # beside another tool's masks
vpbsd ablation --plan                # what would be run, and stop
"""

from __future__ import annotations

from vpbsd_sweeps.cli.sweep import arguments, sweep


def main() -> int:
    """Runs the paper's Table 3, unless other arms are asked for; returns the exit code."""
    return sweep("ablation", arguments("ablation", __doc__, "table3"))
