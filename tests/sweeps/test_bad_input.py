"""Whatever is wrong ends in one clear line and exit code 2, before anything is trained."""

import os
import sys

import numpy as np
import pytest

from vpbsd import __main__ as vpbsd_main
from vpbsd.cli import run_main
from vpbsd.data.phantom import SPACING_UM
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd_sweeps.commands import ablation, final, search, status
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a program in an empty folder; returns (exit code, standard error)."""
    monkeypatch.chdir(tmp_path)
    for name in ("VPBSD_DATA", "VPBSD_STORE", "VPBSD_TRACKING"):
        monkeypatch.delenv(name, raising=False)

    def run_program(main, *words):
        monkeypatch.setattr(sys, "argv", ["program", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_main(main)
        return ended.value.code, capsys.readouterr().err.strip()

    return run_program


@pytest.fixture
def data(tmp_path):
    """Three groups of one labelled volume each, and one without a label."""
    folder = tmp_path / "data"
    for i, group in enumerate("abcd"):
        image = np.arange(8 * 40 * 40, dtype=np.uint16).reshape(8, 40, 40) + i
        label = (image % 7 == 0).astype(np.uint8)
        facts = VolumeMetadata(image.shape, "uint16", SPACING_UM, group)
        write_volume(folder, f"v{i}", [image], facts, None if group == "d" else [label])
    return folder


def empty_label(folder):
    image = np.arange(8 * 40 * 40, dtype=np.uint16).reshape(8, 40, 40)
    facts = VolumeMetadata(image.shape, "uint16", SPACING_UM, "e")
    write_volume(folder, "empty", [image], facts, [np.zeros(image.shape, np.uint8)])


ABLATION = [
    (["--presett", "laptop"], "there is no option --presett; did you mean '--preset'?"),
    (["--preset", "laptob"], "there is no preset 'laptob'; did you mean 'laptop'?"),
    (["--arms", "arm:table3"], "there is no arm 'table3'"),
    (["--arms", "vpbsd_wo_di"], "there is no arm 'vpbsd_wo_di'; did you mean 'vpbsd_wo_dis'?"),
    (["--set", "student.gama=1"], "setting 'student.gama' has no field 'gama'; did you mean"),
    (["--set", "student.gamma"], "--set student.gamma: write it as path=value"),
    (["--set", "student.gamma=-1"], "setting 'student.gamma'"),
    (["--set", "student.optim.epochs=2.5"], "setting 'student.optim.epochs'"),
    (["--set", "data.patch=[32,32,32]"], "patch 32x32x32 is not one the teacher can take"),
    (["--set", "data.patch=[48,64,64]"], "patch 48x64x64: arm 'teacher' halves it five times"),
    (["--folds", "7"], "7 folds need as many groups, but the labelled volumes have 3 (a, b, c)"),
    (["--folds", "1"], "setting 'protocol.folds'"),
    (["--set", "protocol.train_groups=3"], "fold 0 has only 2 training groups: give 2 or fewer"),
    (["--set", "protocol.train_groups=0"], "setting 'protocol.train_groups'"),
    (["--phantom", "wide"], "--phantom wide generates vessels, but data are given"),
    (["--seeds", "0,x"], "--seeds 0,x: give whole numbers"),
    (["--set", "pretrain.network.codebook.size=4000"], "the warm-up of pre-training sees"),
]


@pytest.mark.parametrize(("words", "line"), ABLATION, ids=[" ".join(w) for w, _ in ABLATION])
def test_ablation_refuses(run, data, words, line):
    code, error = run(ablation.main, "--data", data, "--plan", *words)
    assert code == 2
    assert error.startswith("error: ")
    assert line in error
    assert "\n" not in error, "one line"


def test_a_missing_and_an_empty_data_folder(run, tmp_path):
    code, error = run(ablation.main, "--data", tmp_path / "nowhere")
    assert (code, "nowhere" in error, "\n" in error) == (2, True, False)
    (tmp_path / "empty").mkdir()
    code, error = run(ablation.main, "--data", tmp_path / "empty")
    assert code == 2
    assert " -m vpbsd import " in error


def test_an_empty_label_in_a_training_fold(run, data):
    empty_label(data)
    code, error = run(ablation.main, "--data", data, "--plan")
    assert code == 2
    assert "the label of volume empty is empty" in error


def test_a_metric_in_micrometres_needs_voxel_sizes(run, data):
    image = np.arange(8 * 40 * 40, dtype=np.uint16).reshape(8, 40, 40) + 9
    facts = VolumeMetadata(image.shape, "uint16", None, "e")
    write_volume(data, "unsized", [image], facts, [(image % 7 == 0).astype(np.uint8)])
    words = ("--data", data, "--plan", "--primary")
    code, error = run(ablation.main, *words, "hd95_um")
    assert code == 2
    assert error.startswith("error: --primary hd95_um: the voxel size of unsized is not known")
    assert run(ablation.main, *words, "hd95_vox")[0] == 0


def test_a_volume_that_clipping_would_erase_is_found_by_the_plan(run, data):
    image = np.zeros((8, 40, 40), np.uint16)
    image[:, 0] = np.arange(40)  # 39 of 40 rows are 0
    write_volume(data, "dark", [image], VolumeMetadata(image.shape, "uint16", SPACING_UM, "f"))
    code, error = run(ablation.main, "--data", data, "--plan")
    assert code == 2
    assert "volume dark: percentile 95 is also the minimum (0)" in error
    code, error = run(search.main, "--data", data, "--plan")
    assert (code, "volume dark" in error) == (2, True)
    words = ["--set", "data.clip_percentile=99.5", "--set", "pretrain.network.codebook.size=4"]
    code, error = run(ablation.main, "--data", data, "--plan", *words)
    assert (code, error) == (0, "")


def test_an_unwritable_store_is_found_before_ray_starts(run, data):
    code, error = run(ablation.main, "--data", data, "--store", "/dev/null/store")
    assert code == 2
    assert "the store /dev/null/store cannot be written" in error


def test_a_budget_is_refused_before_anything_is_made(run, data, tmp_path):
    code, error = run(ablation.main, "--data", data, "--max-gpu-hours", "0.0001")
    assert code == 2
    assert "GPU-hours, --max-gpu-hours allows 0.0001" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_a_second_driver_is_refused_before_ray_starts(run, data, tmp_path, monkeypatch):
    monkeypatch.setenv("VPBSD_LEASE_SECONDS", "3")
    store = Store(str(tmp_path / "store"))
    with study_lock("ablation-laptop-data", store):
        code, error = run(ablation.main, "--data", data, "--store", store.url)
    assert code == 2
    assert f"'ablation-laptop-data' is being driven by process {os.getpid()} on " in error


def test_a_cluster_that_is_not_there_is_found_before_anything_is_made(
    run, data, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, error = run(ablation.main, "--data", data)
    assert code == 2
    assert "error: the Ray cluster at RAY_ADDRESS=127.0.0.1:1 does not answer" in error
    assert "\n" not in error, "one line"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_the_status_of_an_unknown_study(run, tmp_path):
    store = Store(str(tmp_path / "store"))
    store.studies.write_json("ablation/study.json", {})
    code, error = run(status.main, "ablaton", "--store", store.url)
    assert code == 2
    assert f"there is no study 'ablaton' in {store.url}; did you mean 'ablation'?" in error


def test_an_unknown_study_makes_no_database(run, tmp_path):
    code, error = run(final.main, "--study", "nothing")
    assert code == 2
    assert "no MLflow database" in error
    assert list(tmp_path.iterdir()) == []


def test_a_plan_makes_no_database_and_no_store(run, data, tmp_path):
    code, _ = run(ablation.main, "--data", data, "--plan")
    assert code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_a_missing_model(run, tmp_path):
    code, error = run(vpbsd_main.main, "segment", tmp_path / "m", tmp_path / "v", tmp_path / "o")
    assert code == 2
    assert "is no model folder (weights.safetensors is missing)" in error


def test_an_import_without_voxel_size_names_the_remedy(run, tmp_path):
    np.savez(tmp_path / "scan.npz", image=np.ones((4, 5, 6), np.uint8))
    code, error = run(vpbsd_main.main, "import", tmp_path / "scan.npz", tmp_path / "data")
    assert code == 2
    assert "--spacing" in error
