"""The report of a finished study, made from MLflow alone: tables, figures and one page.

python sweeps/report.py STUDY                   # writes runs/reports/STUDY, and logs it to MLflow
python sweeps/report.py STUDY --baseline kd     # compares with another arm than the Light UNet
python sweeps/report.py STUDY --partial         # of a study that is not finished yet

The same runs give the same bytes, on any machine with the same versions of the libraries.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sweeps import figures, sheets, typeset
from sweeps.arguments import RUNS, add_tracking
from sweeps.evidence import gather
from sweeps.findings import Findings, find
from sweeps.guards import choose_baseline, require_finished
from sweeps.page import page
from sweeps.tracking import open_tracker
from vpbsd.command import Parser, answer
from vpbsd.errors import BadInput


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="name of the study")
    add_tracking(parser)
    parser.add_argument("--out", metavar="DIR", help=f"folder (default {RUNS}/reports/STUDY)")
    parser.add_argument(
        "--baseline", metavar="ARM", help="compare with this arm (default light_unet, else first)"
    )
    parser.add_argument(
        "--partial", action="store_true", help="report the trials there are of an unfinished study"
    )
    return parser.parse_args()


def main() -> None:
    """Reads MLflow, writes the report, logs it to the sweep's run."""
    args = arguments()
    tracker = open_tracker(args.tracking, args.study)
    evidence = gather(tracker, args.study)
    if not args.partial:
        require_finished(evidence)
    if not evidence.trials:
        raise BadInput(f"no trial of study '{args.study}' has ended: there is nothing to report")
    findings = find(evidence, choose_baseline(evidence, args.baseline))
    out = Path(args.out or Path(RUNS) / "reports" / args.study)
    write(findings, out, tracker.place)
    tracker.folder(evidence.parent, out, "report")
    print((out / "table.md").read_text())
    print(f"report   {out / 'report.html'}")


def write(findings: Findings, out: Path, url: str = "") -> None:
    """All files of a report.

    Raises:
        BadInput: The folder holds other things than a report.
    """
    _refuse_foreign(out)
    main_table = typeset.main_table(findings)
    comparison = typeset.comparison_table(findings)
    study, base = findings.evidence.study, findings.row(findings.baseline).title
    texts = {
        "table.md": "\n".join(map(typeset.markdown, (main_table, typeset.spread_table(findings)))),
        "table.csv": sheets.table_csv(findings),
        "table.tex": typeset.latex(main_table, f"Study {study}.", "arms"),
        "comparison.md": typeset.markdown(comparison),
        "comparison.csv": sheets.comparison_csv(findings),
        "comparison.tex": typeset.latex(comparison, f"Study {study} against {base}.", "compared"),
        "volumes.csv": sheets.volumes_csv(findings),
    }
    made = figures.draw(findings, out / "figures")
    texts["report.html"] = page(findings, made, out / "figures", url)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


def _refuse_foreign(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "table.md").exists()):
        raise BadInput(f"--out {out}: there is something else there; pass a new folder")


if __name__ == "__main__":
    answer(main)
