"""docs/notebook.ipynb runs from its first cell to its last, and is kept without outputs."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "notebook.ipynb"


def test_it_is_kept_without_outputs():
    cells = [c for c in json.loads(PAGE.read_text())["cells"] if c["cell_type"] == "code"]
    assert len(cells) > 5
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbformat, nbclient = (pytest.importorskip(name) for name in ("nbformat", "nbclient"))
    pytest.importorskip("ipykernel")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    book = nbformat.read(PAGE, as_version=4)
    at = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=500, kernel_name="python3", resources=at).execute()
    texts = ["".join(str(o) for o in c.get("outputs", [])) for c in book.cells]
    assert "| Light UNet (baseline) |" in "".join(texts)
    assert "trained on 4 labelled volumes of 4 groups" in "".join(texts)
    assert any("are vessel" in text for text in texts)
    assert any("image/png" in text for text in texts)
