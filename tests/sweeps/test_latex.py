"""The LaTeX tables, by LaTeX itself."""

import re
import shutil
import subprocess

import pytest

from tests.sweeps.small_study import small_study
from vpbsd_sweeps.commands.report import write
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.records import load_records

PAPER = r"""
\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,graphicx}
\begin{document}
\input{table}
\input{comparison}
\end{document}
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_the_tables_compile_and_fit_the_page(tmp_path):
    analysis = analyse(load_records(small_study(tmp_path), "small"), "light_unet")
    write(analysis, tmp_path / "report")
    (tmp_path / "report" / "paper.tex").write_text(PAPER)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path / "report", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.findall(r"Overfull.*|Missing character.*|LaTeX Warning: Ref.*", done.stdout)
    assert (tmp_path / "report" / "paper.pdf").stat().st_size > 10_000
