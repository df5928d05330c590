"""The protocol of left atria from files to scores, on a few small volumes made up for it."""

import json
import sys

import h5py
import numpy as np
import pytest

from vpbsd import __main__ as vpbsd_main
from vpbsd.cli import run_main
from vpbsd.data.folds import make_folds
from vpbsd.data.volumes import list_volumes
from vpbsd.overrides import parse_changes
from vpbsd.pipeline.recipes import trial
from vpbsd.pipeline.run import run
from vpbsd.published import settings_from
from vpbsd_sweeps.commands import ablation

SHAPE = (40, 36, 24)  # x, y, z, as the published files have it
SMALL = (
    "data.patch=[16,16,48]",
    "protocol.stride=[8,16,16]",
    "protocol.tested=2",
    "protocol.train_groups=2",
    "sampling.patches=8",
    "rivals.vnet_optim.epochs=2",
    "rivals.vnet_optim.steps_per_epoch=1",
    "rivals.simcvd.pool=16",
)


@pytest.fixture
def program(monkeypatch, capsys, tmp_path):
    """Runs programs in a folder with six patients' files; returns what they said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h5").mkdir()
    for n in range(6):
        _atrium(tmp_path / "h5" / f"patient{n}.h5", n)

    def runs(main, *words):
        monkeypatch.setattr(sys, "argv", ["program", *words])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
        said = capsys.readouterr()
        assert ended.value.code == 0, said.err
        return said

    imported = ["import", "h5", "data/la", "--axes", "xyz", "--spacing", "0.625"]
    runs(vpbsd_main.main, *imported, "--classes", "atrium")
    return runs


def _atrium(path, seed):
    rng = np.random.default_rng(seed)
    places = np.indices(SHAPE) - (np.array(SHAPE) / 2 + rng.normal(0, 2, 3))[:, None, None, None]
    label = ((places / np.array([12, 10, 7])[:, None, None, None]) ** 2).sum(0) < 1
    with h5py.File(path, "w") as file:
        file["image"] = (label + rng.normal(0, 0.4, SHAPE)).astype(np.float32)
        file["label"] = label.astype(np.uint8)


def test_a_plan_of_published_files(program):
    words = ["--protocol", "la2018", "--data", "data/la", "--arms", "vnet,simcvd_vnet", "--plan"]
    changes = [word for change in SMALL for word in ("--set", change)]
    plan = program(ablation.main, *words, *changes)
    assert "is of 100 labelled groups, and there are 6 here" in plan.err
    assert "ablation-laptop-la-la2018: 2 arms, 1 folds, 1 seeds = 2 trials" in plan.out
    others = [c for c in SMALL if "train_groups" not in c]
    changes = [word for change in others for word in ("--set", change)]
    labels = program(ablation.main, *words, *changes, "--labels", "1,3")
    assert "la2018-labels3: 2 arms" in labels.out, "the protocol's own number gives way"


@pytest.mark.slow  # two trainings of 45 million parameters
def test_files_of_image_and_label_become_scores(program, tmp_path):
    volumes = list_volumes("data/la")
    assert {v.shape for v in volumes} == {SHAPE[::-1]}
    settings = settings_from("laptop", "la2018", parse_changes(list(SMALL)))
    (fold,) = make_folds(volumes, settings.protocol)
    for arm in ("vnet", "simcvd_vnet"):
        folders = {}
        for stage in trial(settings, arm, fold, 0).lineage():
            folders[stage.key] = tmp_path / arm / stage.key
            folders[stage.key].mkdir(parents=True)
            inputs = {name: folders[s.key] for name, s in stage.upstream.items()}
            for _ in run(stage, inputs, folders[stage.key]):
                pass
        rows = json.loads((folders[stage.key] / "rows.json").read_text())
        assert [row["volume"] for row in rows] == ["patient4", "patient5"]
        assert all(0 <= row["dsc"] <= 1 for row in rows)
