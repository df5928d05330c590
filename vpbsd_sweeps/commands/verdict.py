"""Whether VpbSD beats the baseline in a finished study: a sentence, and an exit code.

vpbsd verdict STUDY                    # 0 better, 1 cannot tell, 2 error, 3 worse, 4 void
vpbsd verdict STUDY --json             # with interval, p, groups and the secondary comparisons
vpbsd verdict STUDY --primary cldice   # on another metric than DSC
"""

from __future__ import annotations

import argparse
import json
import traceback

from vpbsd.cli import command_parser
from vpbsd.errors import BadInput
from vpbsd_sweeps.cli.options import add_primary, add_tracking, study_argument
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.checks import choose_baseline, require_finished
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.verdict import Outcome, Verdict, verdict
from vpbsd_sweeps.tracking.tracker import open_tracker

ERROR = 2
CODES = {Outcome.BETTER: 0, Outcome.CANNOT_TELL: 1, Outcome.WORSE: 3, Outcome.VOID: 4}


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("verdict", __doc__)
    parser.add_argument("study", type=study_argument, help="name of the study")
    add_tracking(parser)
    parser.add_argument(
        "--baseline", metavar="ARM", help="compare with this arm (default light_unet, else first)"
    )
    add_primary(parser)
    parser.add_argument("--json", action="store_true", help="all of it, for programs")
    return parser.parse_args()


def main() -> int:
    """Prints the verdict; returns its exit code."""
    args = arguments()
    try:
        found = _read(args)
    except BadInput:
        raise
    except Exception:  # Python itself would exit with 1, which says that the study cannot tell
        traceback.print_exc()
        return ERROR
    if args.json:
        print(json.dumps({"study": args.study, **found.plain()}, indent=2, ensure_ascii=False))
    else:
        print(found.sentence)
    return CODES[found.outcome]


def _read(args: argparse.Namespace) -> Verdict:
    records = load_records(open_tracker(args.tracking, args.study), args.study)
    require_finished(records)
    return verdict(analyse(records, choose_baseline(records, args.baseline), args.primary))
