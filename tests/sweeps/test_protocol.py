"""The protocol of left atria from files to a table, on a few small volumes made up for it."""

import sys

import h5py
import numpy as np
import pytest

from vpbsd import __main__ as vpbsd_main
from vpbsd.cli import run_main
from vpbsd.data.volumes import list_volumes
from vpbsd_sweeps.commands import ablation

SHAPE = (40, 36, 24)  # x, y, z, as the published files have it
SMALL = {
    "data.patch": "[16,16,48]",
    "protocol.stride": "[8,16,16]",
    "protocol.tested": "2",
    "protocol.train_groups": "2",
    "sampling.patches": "8",
    "rivals.vnet_optim.epochs": "2",
    "rivals.vnet_optim.steps_per_epoch": "2",
    "rivals.simcvd.pool": "16",
}


def atrium(path, seed):
    rng = np.random.default_rng(seed)
    places = np.indices(SHAPE) - (np.array(SHAPE) / 2 + rng.normal(0, 2, 3))[:, None, None, None]
    label = ((places / np.array([12, 10, 7])[:, None, None, None]) ** 2).sum(0) < 1
    with h5py.File(path, "w") as file:
        file["image"] = (label + rng.normal(0, 0.4, SHAPE)).astype(np.float32)
        file["label"] = label.astype(np.uint8)


@pytest.mark.slow  # two trainings of 45 million parameters
def test_files_of_image_and_label_become_a_table(tmp_path, monkeypatch, capsys, two_cores):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h5").mkdir()
    for n in range(6):
        atrium(tmp_path / "h5" / f"patient{n}.h5", n)

    def run(main, *words):
        monkeypatch.setattr(sys, "argv", ["program", *words])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
        assert ended.value.code == 0

    imported = ["import", "h5", "data/la", "--axes", "xyz", "--spacing", "0.625"]
    run(vpbsd_main.main, *imported, "--classes", "atrium")
    assert {v.shape for v in list_volumes("data/la")} == {SHAPE[::-1]}
    changes = [word for path, value in SMALL.items() for word in ("--set", f"{path}={value}")]
    words = ["--protocol", "la2018", "--data", "data/la", "--arms", "vnet,simcvd_vnet", *changes]
    capsys.readouterr()
    run(ablation.main, *words, "--plan")
    plan = capsys.readouterr()
    assert "is of 100 labelled groups, and there are 6 here" in plan.err
    assert "2 arms, 1 folds, 1 seeds = 2 trials" in plan.out
    run(ablation.main, *words)
    table = capsys.readouterr().out
    rows = {line.split("|")[1].strip(" ‡‖"): line for line in table.splitlines() if "|" in line}
    assert {"V-Net", "SimCVD, V-Net"} <= rows.keys()
