"""Tokens by label: their classes by hand, silhouettes that are known, and the picture."""

import numpy as np
import pytest
import torch

from tests import small
from vpbsd.config import Data
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.evaluation.feature_clusters import (
    Labelled,
    labelled_tokens,
    show_clusters,
    silhouette,
)
from vpbsd.networks.build import build_network

SHAPE = (32, 32, 64)


def patches(folder, label, shape=SHAPE, classes=("vessel",)):
    image = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
    about = VolumeMetadata(image.shape, "uint8", None, "a", classes=classes)
    info = write_volume(folder, "v", [image], about, [label])
    return PatchSet([whole_volume(info)], Data(patch=SHAPE, classes=1 + len(classes)))


def means(x):
    """A state of one channel at 1/16: which cell a token is of can be told."""
    return torch.nn.functional.avg_pool3d(x, 16)


def test_a_token_is_of_the_class_that_most_of_its_cell_is(tmp_path):
    """Cells of 16^3: one holds a little of class 1, one more of 2 than of 1, the others none."""
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, 0] = 1  # less than the mean cell has
    label[16:24, :16, 16:32] = 2
    label[24:28, :16, 16:32] = 1
    label[:8, 16:, 48:] = 1
    given = patches(tmp_path, label, classes=("a", "b"))
    found = labelled_tokens(means, given)
    cells = means(torch.from_numpy(given.image(0))[None, None]).flatten()
    of = {
        round(float(t), 5): int(k) for t, k in zip(found.tokens[:, 0], found.classes, strict=True)
    }
    expected = np.zeros((2, 2, 4), int)
    expected[1, 0, 1], expected[0, 1, 3] = 2, 1
    assert [of[round(float(c), 5)] for c in cells] == expected.ravel().tolist()


def test_tokens_of_padding_are_left_out(tmp_path):
    label = np.zeros((16, 32, 64), np.uint8)
    label[:, :16] = 1
    found = labelled_tokens(means, patches(tmp_path, label, (16, 32, 64)))
    assert len(found.tokens) == 8
    assert sorted(found.classes) == [0] * 4 + [1] * 4


def test_silhouettes_of_two_bundles_and_of_one():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], 40)
    noise = rng.normal(0, 0.05, (80, 3)).astype(np.float32)
    apart = noise + np.where(classes[:, None] == 1, 1, -1) * np.array([1, 0, 0], np.float32)
    assert silhouette(Labelled(apart, classes)) > 0.95
    assert abs(silhouette(Labelled(rng.normal(0, 1, (80, 3)), classes))) < 0.1
    by_hand = np.array([[1, 0], [1, 0], [-1, 0], [0, -1]], np.float32)
    found = silhouette(Labelled(by_hand - by_hand.mean(0), np.array([0, 0, 1, 1])))
    assert found == pytest.approx(by_loops(by_hand - by_hand.mean(0), [0, 0, 1, 1]), abs=1e-6)


def test_a_collapsed_encoder_has_a_picture_too(tmp_path):
    label = np.zeros(SHAPE, np.uint8)
    label[:, :16] = 1
    teacher = build_network(small.PLAIN, 0)
    teacher.encode = lambda x: [torch.full((1, 4, 2, 2, 4), 0.1)] * 5
    summary = show_clusters({"collapsed": teacher}, patches(tmp_path, label), ("vessel",))
    assert summary.numbers == {"silhouette/collapsed": 0.0}
    assert summary.pictures.keys() == {"feature_clusters"}


def by_loops(tokens, classes):
    """Rousseeuw's (b - a) / max(a, b), with 1 - cosine as the distance."""
    unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    far, scores = 1 - unit @ unit.T, []
    for i, own in enumerate(classes):
        mates = [far[i, j] for j, k in enumerate(classes) if k == own and j != i]
        others = [far[i, j] for j, k in enumerate(classes) if k != own]
        a, b = np.mean(mates), np.mean(others)
        scores.append((b - a) / max(a, b))
    return np.mean(scores)


def test_a_picture_of_two_encoders_and_none_without_two_classes(tmp_path):
    label = np.zeros(SHAPE, np.uint8)
    label[:, :16] = 1
    teachers = {t: build_network(small.PLAIN, n) for n, t in enumerate(("before", "after"))}
    summary = show_clusters(teachers, patches(tmp_path / "a", label), ("vessel",))
    assert summary.numbers.keys() == {"silhouette/before", "silhouette/after"}
    assert all(-1 <= v <= 1 for v in summary.numbers.values())
    picture = summary.pictures["feature_clusters"]
    assert picture.dtype == np.uint8
    assert picture.std() > 20
    assert picture.shape[1] > picture.shape[0], "side by side"
    none = show_clusters(teachers, patches(tmp_path / "b", 0 * label), ("vessel",))
    assert none.numbers == none.pictures == {}
