"""Masks of another tool as an arm, from the command line to the report's tables."""

import csv
import sys

import pytest

from tests.intake.files import ALL, npz
from vpbsd.cli import run_main
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd_sweeps.commands import ablation, report
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.tracking.tracker import open_tracker


@pytest.fixture
def home(tmp_path, folder, two_cores, monkeypatch):
    """A folder with the masks of two tools: all of every label, and its upper half."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for path in folder.glob("*.zarr"):
        (tmp_path / "data" / path.name).symlink_to(path)
    volumes = [v for v in list_volumes(tmp_path / "data") if v.labelled]
    for tool in ("whole", "half"):
        (tmp_path / tool).mkdir()
        for volume in volumes:
            mask = open_volume(volume).label_block(ALL).copy()
            mask[mask.shape[0] // 2 if tool == "half" else len(mask) :] = 0
            spacing = {"spacing_zyx_um": volume.spacing_um}
            npz(tmp_path / tool / f"{volume.name}.npz", image=mask, **spacing)
    return tmp_path


def call(main, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["program", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
    return ended.value.code


@pytest.mark.slow
def test_masks_are_scored_once_and_stand_in_every_table(home, capsys):
    tracking = f"sqlite:///{home}/mlflow.db"
    places = ["--store", home / "store", "--tracking", tracking, "--data", home / "data"]
    words = ["--arms", "threshold,otsu", "--study", "s", "--folds", "3"]
    whole = ["--external", f"whole={home / 'whole'}", "--external-unseen", "whole"]
    assert call(ablation.main, *places, *words, *whole) == 0
    printed = capsys.readouterr().out
    assert "| whole (external) | 1.000 ± 0.000 | 1.000 ± 0.000 |" in printed
    assert "may have been trained" not in printed
    stored = set((home / "store" / "results").iterdir())
    half = ["--external", f"half={home / 'half'}"]
    assert call(report.main, "s", *places, *half, "--out", home / "r") == 0
    assert "° half (external): may have been trained on these test" in capsys.readouterr().out
    new = set((home / "store" / "results").iterdir()) - stored
    assert len(new) == 3, "a stage per fold, and nothing again"
    records = load_records(open_tracker(tracking, "s"), "s")
    assert records.arms == ["threshold", "otsu", "external:whole", "external:half"]
    trials = records.of_arm("external:half")
    by_hand = {}
    for volume in (v for v in list_volumes(home / "data") if v.labelled):
        label = open_volume(volume).label_block(ALL)
        kept = int(label[: len(label) // 2].sum())
        by_hand[volume.name] = 2 * kept / (kept + int(label.sum()))
    assert {n: v for t in trials for n, v in t.values["dsc"].items()} == pytest.approx(by_hand)
    assert all(records.lineage(t) for t in trials), "each leads to its stage's run"
    pictures = records.tracker.list_files(trials[0].run_id, "pictures")
    assert {p.split("/")[1].split("_")[0] for p in pictures} == {"overlay", "projection", "strip"}
    with (home / "r" / "comparison.csv").open() as file:
        rows = {r["arm"]: r for r in csv.DictReader(file) if r["metric"] == "dsc"}
    assert (rows["external:half"]["may_have_seen"], rows["external:whole"]["may_have_seen"]) == (
        "yes",
        "",
    )
    assert call(ablation.main, *places, *words) == 0, "without the option its masks are found"
    assert set((home / "store" / "results").iterdir()) - stored == new
    assert "half (external)" in capsys.readouterr().out
    store = Store(str(home / "store"))
    assert store.studies.read_json("s/study.json")["external"].keys() == {"whole", "half"}
    other = ["--external", f"half={home / 'whole'}"]
    assert call(ablation.main, *places, *words, *other) == 2
    assert "study 's' has masks of half, and other masks are given now" in capsys.readouterr().err
    lost = ["--store", home / "elsewhere", "--tracking", tracking, "--data", home / "data"]
    assert call(report.main, "s", *lost, *half, "--out", home / "r") == 2
    assert "are not stored in" in capsys.readouterr().err
