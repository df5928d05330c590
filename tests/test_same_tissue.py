"""What plans and `vpbsd check` say of volumes that look like one tissue, and of sparse labels."""

import numpy as np
import pytest

from vpbsd.data.folds import make_folds
from vpbsd.data.remarks import remarks
from vpbsd.data.same_tissue import same_tissue
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import list_volumes
from vpbsd.protocol import Protocol

SHAPE = (12, 24, 24)


@pytest.fixture
def put(tmp_path):
    """Writes a volume; by default image and label are of no other one."""
    random = np.random.default_rng(0)

    def write(name, group, image=None, label=None, channel=None):
        image = random.integers(0, 999, SHAPE).astype(np.uint16) if image is None else image
        label = (random.random(SHAPE) < 0.1).astype(np.uint8) if label is None else label
        return write_array(
            tmp_path, name, image, label, spacing_um=None, group=group, channel=channel
        )

    return write


PIECES = [("m1", "m1_blurred"), ("m1_x01_y01", "m1_x01_y02"), ("m1_C00", "m1_C01")]


@pytest.mark.parametrize("names", PIECES)
def test_names_of_pieces_under_two_groups_are_doubted(put, names):
    two, one = [put(n, g) for n, g in zip(names, "AB", strict=True)], put("m2", "C")
    assert list(same_tissue([*two, one])) == [
        f"{names[0]} and {names[1]} are by their names pieces of one tissue but are of the groups "
        "A and B: folds may train on one and test on another"
    ]
    assert list(same_tissue([put(n, "A") for n in ("m3", "m3_blurred")])) == []


def test_a_copy_with_other_voxels_is_known_by_its_label(put):
    label = np.zeros(SHAPE, np.uint8)
    label[2:9, 5, 3:20] = 1
    moved = np.roll(label, 1, axis=2)
    three = [put("a", "A", label=label), put("b", "B", label=label), put("c", "C", label=moved)]
    assert list(same_tissue(three)) == [
        "a and b have the same label but are of the groups A and B: are they one tissue? "
        "Folds may train on one and test on another"
    ]
    few = np.zeros(SHAPE, np.uint8)
    few[3, 5, 3:20] = 1
    assert list(same_tissue([put("d", "D", label=few), put("e", "E", label=few)])) == []


def test_the_same_voxels_are_named_once_and_in_one_group_too(put):
    image = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    label = np.ones(SHAPE, np.uint8)
    one, two = put("m1", "A", image, label), put("m1_copy", "A", image, label)
    twice = "m1 and m1_copy hold the same voxels and count as several"
    assert list(same_tissue([one, two])) == [twice]
    other = put("m1_blurred", "B", image, label)
    assert list(same_tissue([one, other])) == [
        "m1 and m1_blurred hold the same voxels under different groups"
    ]


def said(folder):
    volumes = list_volumes(folder)
    return list(remarks(volumes, make_folds(volumes, Protocol(folds=2)), (8, 16, 16)))


def test_slices_without_annotation_are_said(put, tmp_path):
    sparse, shallow = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    sparse[1::4, 2:22, 2:22:4] = 1
    shallow[:6, 2:22, 2:22:4] = 1
    put("a", "A", label=sparse)
    put("b", "B", label=shallow)
    put("c", "C")
    notes = [line for line in said(tmp_path) if "annotated" in line]
    assert notes == [
        "note: of the slices 1 to 10 of a 3 have a label: if only those are annotated, the "
        "others count as background all the same",
        "note: the label of b lies between z 0 and 6 of 12: if the rest is not annotated, crop "
        "it, for it counts as background",
    ]


def test_several_stains_are_said(put, tmp_path):
    put("a", "A", channel="WGA")
    put("b", "B", channel="EB")
    stains = (line for line in said(tmp_path) if "stains" in line)
    assert next(stains).startswith("note: the volumes are of 2 stains (EB, WGA)")
