"""A trained student in a user's hands: any kind of number, the right voxels, what it knows."""

import shutil

import numpy as np
import pytest
import torch

from tests.students import DATA, of_two_minds
from vpbsd.errors import BadInput
from vpbsd.inference.model import load_model, write_settings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A student of two minds, of unknown origin."""
    return of_two_minds(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(model, volumes, tmp_path_factory):
    """The same, which knows its training volumes."""
    copy = shutil.copytree(model, tmp_path_factory.mktemp("trained") / "model")
    write_settings(copy, DATA, volumes[:2])
    return copy


@pytest.mark.parametrize("kind", ["uint8", ">u2", "int32", "uint64", "float16", "float64", "bool"])
def test_a_volume_may_hold_any_kind_of_number(model, kind):
    """The same numbers give the same mask, whatever holds them."""
    image = np.random.default_rng(0).integers(0, 2 if kind == "bool" else 100, (16, 32, 64))
    if kind != "bool":
        image[4:12, 8:24] += 100
        image *= 1 if kind == "uint8" else 7  # its second byte says something
    student = load_model(model)
    mask, same = (student.predict(image.astype(k)) for k in (kind, "uint16"))
    assert kind == "bool" or 0 < same.mean() < 1  # a thing of two values shows no tissue
    assert np.mean(mask != same) < 1e-3
    assert mask.dtype == np.uint8


@pytest.mark.parametrize(
    ("volume", "spacing", "message"),
    [
        (np.zeros((2, 2, 2), complex), None, "real numbers, but this one holds complex128"),
        (np.full((2, 2, 2), np.nan), None, "no numbers"),
        (np.zeros((0, 2, 2)), None, "no voxels"),
        (np.zeros((2, 2)), None, "axes z, y, x, but this one has 2"),
        (np.zeros((2, 2, 2)), (1.0, 1.0), "three positive numbers"),
        (np.zeros((2, 2, 2)), (9.0, 1.6, 1.6), "voxels of 9 x 1.6 x 1.6 um, but the model was"),
    ],
)
def test_what_is_no_such_volume_is_refused(trained, volume, spacing, message):
    with pytest.raises(BadInput, match=message):
        load_model(trained).predict(volume, spacing)


def test_a_model_goes_to_a_gpu_where_there_is_one(model, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: asked.append(device) or self)
    for found in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        load_model(model)
        load_model(model, "cpu")
    assert asked[-4:] == ["cuda", "cpu", "cpu", "cpu"]


def test_a_model_says_what_it_was_trained_on(model, trained, volumes):
    size = " x ".join(f"{s:g}" for s in volumes[0].spacing_um)
    groups = len({v.group for v in volumes[:2]})
    said = str(load_model(trained))
    assert f"LightUNet, trained on 2 labelled volumes of {groups} groups with" in said
    assert f"voxels (z, y, x) of {size} um" in said
    assert "trained on unknown volumes" in str(load_model(model))
