"""A data set of several classes goes through every stage, and nothing calls them vessels."""

import json

import numpy as np
import pytest

from tests import small
from vpbsd.data.folds import make_folds, whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import list_volumes, open_volume, read_info
from vpbsd.errors import BadInput
from vpbsd.evaluation.evaluate import measure_part
from vpbsd.inference.model import load_model, write_settings
from vpbsd.inference.segment import segment
from vpbsd.pipeline import recipes
from vpbsd.pipeline.classes import class_names, with_classes
from vpbsd.pipeline.run import run

NAMES = ("anterior", "posterior")
SHAPE = (32, 32, 64)
ALL = np.s_[:, :, :]


def organ(number):
    """Two boxes of their own brightness in noise, and which is which."""
    rng = np.random.default_rng(number)
    label = np.zeros(SHAPE, np.uint8)
    label[4:24, 4:24, 4 + number : 28], label[6:26, 6:26, 34 : 60 - number] = 1, 2
    return (rng.integers(0, 40, SHAPE) + 100 * label).astype(np.uint16), label


def write(folder, number, *, labelled=True, classes=NAMES):
    image, label = organ(number)
    metadata = VolumeMetadata(SHAPE, "uint16", None, f"patient{number}", None, classes)
    return write_volume(folder, f"v{number}", [image], metadata, [label] if labelled else None)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    home = tmp_path_factory.mktemp("organs")
    for number in range(4):
        write(home, number, labelled=number < 3)
    return list_volumes(home)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Runs stages, each once; returns the folder of a result."""
    home, folders = tmp_path_factory.mktemp("results"), {}

    def done(stage):
        if stage.key not in folders:
            inputs = {name: done(upstream) for name, upstream in stage.upstream.items()}
            folders[stage.key] = home / stage.key
            folders[stage.key].mkdir()
            for _ in run(stage, inputs, folders[stage.key]):
                pass
        return folders[stage.key]

    return done


@pytest.fixture(scope="module")
def settings(volumes):
    return with_classes(small.settings(), volumes)


def test_names_of_classes_are_kept_and_no_part_of_the_identity(tmp_path):
    info = write(tmp_path, 0)
    assert info.classes == read_info(info.path).classes == NAMES
    assert np.array_equal(open_volume(info).label_block(ALL), organ(0)[1])
    assert info.label_voxels == np.count_nonzero(organ(0)[1])
    again = write(tmp_path / "renamed", 0, classes=("head", "tail"))
    assert again.fingerprint == info.fingerprint


def test_a_value_beyond_the_classes_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(BadInput, match=r"must be 0 or 1, but slice z=6 holds .* or name the cla"):
        write(tmp_path, 0, classes=("head",))
    assert not list(tmp_path.iterdir())


def test_patches_have_a_channel_per_class(volumes, settings):
    label = PatchSet([whole_volume(volumes[0])], settings.data).label(0)
    assert label.shape == (2, *SHAPE)
    truth = organ(0)[1]
    assert np.array_equal(label, np.stack([truth == 1, truth == 2]))


def test_settings_of_a_binary_data_set_stay_as_they_are(volumes, tmp_path):
    binary = write(tmp_path, 0, labelled=False, classes=("vessel",))
    assert with_classes(small.settings(), [binary]) == small.settings()
    assert with_classes(small.settings(), volumes).student.network.classes == 3


def test_volumes_that_mean_different_things_are_refused(volumes, tmp_path):
    other = write(tmp_path, 1, classes=("head", "tail"))
    with pytest.raises(BadInput, match=r"anterior, posterior in v0; head, tail in v1"):
        class_names([*volumes, other])


def test_a_row_has_the_mean_and_each_class_by_hand(volumes, settings):
    part, truth = whole_volume(volumes[0]), organ(0)[1]
    row, pictures = measure_part(part, np.where(truth == 1, 1, 0))
    assert (row["dsc_anterior"], row["dsc_posterior"], row["dsc"]) == (1, 0, 0.5)
    assert row["threshold_dsc_posterior"] == 1, "the brightest box"
    assert sorted(pictures) == [
        f"{kind}_{name}" for kind in ("overlay", "projection", "strip") for name in NAMES
    ]


SLOWER = ("vpbsd", "kd", "uamt", "me", "vpbsd_cldice", "unetr", "cps", "simcvd", "mcsc", "dico")


@pytest.mark.parametrize(
    "arm", ["light_unet", *(pytest.param(arm, marks=pytest.mark.slow) for arm in SLOWER)]
)
def test_every_kind_of_arm_ends_with_a_score_per_class(arm, volumes, settings, done, cheap):
    fold = make_folds(volumes, settings.protocol)[0]
    evaluation = recipes.trial(settings, arm, fold, seed=0)
    (row,) = json.loads((done(evaluation) / "rows.json").read_text())
    assert {"dsc", "dsc_anterior", "dsc_posterior"} <= row.keys()
    rows = json.loads((done(evaluation.upstream["network"]) / "rows.json").read_text())
    assert all(np.isfinite(value) for one in rows for value in one.values())


def test_a_mask_holds_the_numbers_of_classes(volumes, settings, done, tmp_path):
    import zarr

    fold = make_folds(volumes, settings.protocol)[0]
    model = done(recipes.light_unet(settings, fold, 0, "light_unet"))
    write_settings(model, settings.data)
    segment(model, volumes[3].path, tmp_path / "mask.ome.zarr")
    mask = zarr.open_array(tmp_path / "mask.ome.zarr" / "0", mode="r")[:]
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert len(np.unique(mask)) > 1
    assert np.array_equal(mask, load_model(model).predict(organ(3)[0]))
