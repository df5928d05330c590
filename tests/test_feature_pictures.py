"""What an encoder tells apart, as pictures: components and likeness by hand, and the whole."""

import numpy as np
import pytest
import torch

from tests import small
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.evaluation.feature_pictures import components, features, likeness


def test_components_are_the_directions_of_most_variance():
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((2, 3, 4, 5, 6)) * [9, 5, 2, 0.01, 0.01, 0.01]
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    colours, held = components(spread @ turn + 7)
    assert held > 0.999
    for channel in range(3):
        own = spread[..., channel].ravel()
        inside = (own > np.percentile(own, 3)) & (own < np.percentile(own, 97))
        found = colours[..., channel].ravel()[inside]
        assert abs(np.corrcoef(own[inside], found)[0, 1]) > 0.98
    assert colours.min() == 0
    assert colours.max() == 1


def test_likeness_is_one_at_the_anchor_and_minus_one_at_its_opposite():
    tokens = np.zeros((1, 2, 2, 3))
    tokens[0, 0, 0], tokens[0, 1, 1] = (1, 2, 0), (-1, -2, 0)
    tokens[0, 0, 1], tokens[0, 1, 0] = (2, -1, 0), (-2, 1, 0)
    found = likeness(tokens + 5, (0, 0, 0))
    assert found == pytest.approx(np.array([[[1, 0], [0, -1]]]), abs=1e-12)


def test_a_picture_of_a_patch(volumes):
    patches = PatchSet([whole_volume(volumes[0])], small.DATA)
    stream = torch.Generator().manual_seed(0)
    kernel = torch.randn(5, 1, 16, 16, 16, generator=stream)
    picture = features(lambda x: torch.nn.functional.conv3d(x, kernel, stride=16), patches)
    assert picture.ndim == 3
    assert picture.dtype == np.uint8
    assert picture.std() > 20
    constant = features(lambda x: torch.ones(1, 4, 2, 2, 4), patches)
    assert constant.shape[2] == 3, "a collapsed encoder has a picture too"
