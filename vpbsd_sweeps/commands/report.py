"""The report of a finished study, made from MLflow alone: tables, figures and one page.

vpbsd report STUDY                   # writes runs/reports/STUDY, and logs it to MLflow
vpbsd report STUDY --baseline kd     # compares with another arm than the Light UNet
vpbsd report STUDY --partial         # of a study that is not finished yet
vpbsd report STUDY --external nnunet=predictions/ --data DIR   # with another tool's masks
vpbsd report NAME                    # of NAME-labels1, NAME-labels2, ...: DSC against labels, too

The same runs give the same bytes, on any machine with the same versions of the libraries.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from vpbsd.cli import command_parser
from vpbsd.errors import BadInput
from vpbsd_sweeps.cli.external import add_external, with_external
from vpbsd_sweeps.cli.options import RUNS, add_places, add_primary, study_argument, volumes_of
from vpbsd_sweeps.cli.output import show
from vpbsd_sweeps.reporting import csv_export, figures, label_figure, label_tables, tables
from vpbsd_sweeps.reporting.analysis import StudyAnalysis, analyse
from vpbsd_sweeps.reporting.checks import choose_baseline, require_finished
from vpbsd_sweeps.reporting.class_table import class_table
from vpbsd_sweeps.reporting.code_table import code_table
from vpbsd_sweeps.reporting.grid import latex, markdown
from vpbsd_sweeps.reporting.html import page
from vpbsd_sweeps.reporting.label_efficiency import LabelEfficiency, label_efficiency
from vpbsd_sweeps.reporting.pretraining_table import pretraining_table
from vpbsd_sweeps.reporting.records import StudyRecords, load_records
from vpbsd_sweeps.reporting.teacher_table import teacher_table
from vpbsd_sweeps.reporting.verdict import verdict
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.label_studies import siblings
from vpbsd_sweeps.tracking.tracker import open_tracker, study_names


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser("report", __doc__)
    parser.add_argument("study", type=study_argument, help="name of the study")
    add_places(parser)
    add_primary(parser)
    add_external(parser)
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
    together = siblings(args.study, study_names(args.tracking))
    study = _reported(args.study, together, args.tracking)
    tracker = open_tracker(args.tracking, study)
    records = load_records(tracker, study)
    if not args.partial:
        require_finished(records)
    if args.external or args.external_unseen:
        _score(records, args)
        records = load_records(tracker, study)
    if not records.trials:
        raise BadInput(f"no trial of study '{study}' has ended: there is nothing to report")
    analysis = analyse(records, choose_baseline(records, args.baseline), args.primary)
    out = Path(args.out or Path(RUNS) / "reports" / args.study)
    write(analysis, out, tracker.place, _labels(args, together))
    tracker.log_folder(records.parent, out, "report")
    show((out / "table.md").read_text())
    if together:
        show((out / "labels.md").read_text())
    print(verdict(analysis).sentence)
    print(f"report   {out / 'report.html'}")


def _score(records: StudyRecords, args: argparse.Namespace) -> None:
    """Scores the masks of other tools that are given, as arms of the study."""
    from vpbsd_sweeps.drivers.external import score_masks, study_of  # Ray, which no report needs

    study = study_of(records.study, records.identity, volumes_of(args))
    finished = {trial.name for trial in records.trials if trial.status == "FINISHED"}
    score_masks(with_external(study, args), Store(args.store), args.tracking, finished)


def _reported(name: str, together: Iterable[str], tracking: str) -> str:
    """Returns the study of that name; of label studies' common name the one with most labels."""
    *_, most = ("", *together)
    return name if name in study_names(tracking) else most or name


def _labels(args: argparse.Namespace, together: Iterable[str]) -> LabelEfficiency | None:
    """Reads all label studies that belong together; None where there are none."""
    studies = [load_records(open_tracker(args.tracking, name), name) for name in together]
    return label_efficiency([s for s in studies if s.trials], args.baseline) if studies else None


def write(
    analysis: StudyAnalysis, out: Path, url: str = "", labels: LabelEfficiency | None = None
) -> None:
    """Writes all files of a report.

    Args:
        analysis: Of the study.
        out: Folder to write to.
        url: Of the tracking server, if it is one that a browser can open.
        labels: What the study and those with other numbers of labels say together, if it has any.

    Raises:
        BadInput: The folder holds other things than a report.
    """
    _refuse_foreign(out)
    main_table = tables.main_table(analysis)
    comparison, records = tables.comparison_table(analysis), analysis.records
    grids = [main_table, tables.spread_table(analysis)]
    others = (
        class_table(analysis),
        pretraining_table(analysis),
        code_table(records),
        teacher_table(records),
    )
    grids += [grid for grid in others if grid.rows]
    study, base = analysis.records.study, analysis.row(analysis.baseline).title
    texts = {
        "table.md": "\n".join(map(markdown, grids)),
        "table.csv": csv_export.table_csv(analysis),
        "table.tex": latex(main_table, tables.caption(analysis), "arms"),
        "comparison.md": markdown(comparison),
        "comparison.csv": csv_export.comparison_csv(analysis),
        "comparison.tex": latex(comparison, f"Differences to {base} (study {study}).", "compared"),
        "volumes.csv": csv_export.volumes_csv(analysis),
    }
    captions = figures.draw(analysis, out / "figures")
    if labels is not None:
        texts |= {"labels.md": label_tables.document(labels)}
        texts |= {"labels.csv": label_tables.labels_csv(labels)}
        label_figure.draw(labels, out / "figures")
    texts["report.html"] = page(analysis, captions, out / "figures", url, labels)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


def _refuse_foreign(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "table.md").exists()):
        raise BadInput(f"--out {out}: there is something else there; pass a new folder")
