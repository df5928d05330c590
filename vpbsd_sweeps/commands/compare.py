"""VpbSD beside what it is compared with: the paper's Tables 1 and 2 on your data.

vpbsd compare                        # small, on generated vessels
vpbsd compare --preset paper --data DIR --seeds 0,1,2
vpbsd compare --arms light_unet,kd,mt,vpbsd
vpbsd compare --labels 1,2,4,all     # the same with ever more labelled groups
vpbsd compare --external nnunet=predictions/   # beside another tool's masks
vpbsd compare --pretraining          # students x what pre-trained their teacher

Stages that an ablation has stored are not trained again. Each network is timed over 100 blocks.
"""

from __future__ import annotations

from vpbsd.pipeline.crossings import STUDENTS, matrix
from vpbsd_sweeps.cli.sweep import arguments, sweep
from vpbsd_sweeps.study.study import asked, check_arms

TABLE = "table1"


def main() -> int:
    """Runs the paper's Table 1 and, timing networks, Table 2; returns the exit code."""
    args = arguments("compare", __doc__, TABLE, crosses=True)
    if not args.pretraining:
        return sweep("compare", args, timed=True)
    rows = STUDENTS if args.arms == TABLE else check_arms(args.arms.split(","))
    args.arms = ",".join(map(asked, dict.fromkeys(["light_unet", *matrix(rows)])))
    return sweep("pretraining", args)
