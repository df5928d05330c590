"""Percentiles equal numpy's for every type; the clip is worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vpbsd.data.intensity import (
    TABULATED,
    Counter,
    Histogram,
    Table,
    normalise,
    order_statistics,
    ordered_keys,
    tabulate,
)
from vpbsd.errors import BadInput

FLOATS = {"allow_nan": False, "allow_infinity": False}


def _voxels(dtype):
    elements = FLOATS if np.dtype(dtype).kind == "f" else {}
    return hnp.arrays(
        dtype, st.integers(1, 60), elements=hnp.from_dtype(np.dtype(dtype), **elements)
    )


def _counted(voxels, pieces=1):
    counter = Counter(voxels.dtype)
    for block in np.array_split(voxels, pieces):
        counter.add(block)
    return counter.histogram()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), percentile=st.floats(0, 100))
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_any_percentile_of_counted_types_is_numpys(dtype, data, percentile):
    voxels = data.draw(_voxels(dtype))
    expected = np.percentile(voxels.astype(np.float64), percentile)
    assert _counted(voxels, 3).percentile(percentile) == expected


def test_percentiles_of_an_image_are_numpys_on_the_raw_type():
    voxels = np.random.default_rng(0).gamma(2, 40, 50_000).astype(np.uint16)
    histogram = _counted(voxels, 7)
    for percentile in (*TABULATED, 12.3, 97.77):
        assert histogram.percentile(percentile) == np.percentile(voxels, percentile)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint32"])
def test_tabulated_percentiles_are_numpys(dtype, data):
    voxels = data.draw(_voxels(dtype))
    table = tabulate(lambda: np.array_split(voxels, 4), voxels.dtype, voxels.size)
    exact = voxels.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # float64's ends are too far apart
        expected = [np.percentile(exact, p) for p in TABULATED]
    np.testing.assert_array_equal([table.percentile(p) for p in TABULATED], expected)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint64"])
def test_order_statistics_are_the_sorted_voxels(dtype, data):
    voxels = data.draw(_voxels(dtype))
    found = order_statistics(lambda: [voxels], voxels.dtype, list(range(voxels.size)))
    assert found == [float(v) for v in np.sort(voxels)]


def test_keys_sort_as_the_values_do_and_know_one_zero():
    values = np.array([-np.inf, -3.5, -1e-45, 0.0, 1e-45, 2.0, np.inf], np.float32)
    keys = ordered_keys(values)
    assert (np.diff(keys.astype(np.int64)) > 0).all()
    zeros = np.array([-0.0, 0.0], np.float32)
    assert len(set(ordered_keys(zeros).tolist())) == 1


def test_the_passes_over_a_volume_are_one_per_16_bits():
    passes = []

    def blocks():
        passes.append(1)
        return [np.arange(5, dtype=np.float32)]

    tabulate(blocks, np.dtype(np.float32), 5)
    assert len(passes) == 2


def test_histogram_by_hand():
    """Voxels 0 0 0 10: the 90th percentile lies at place 2.7 of 0..3, so at 0 + .7 * 10."""
    histogram = Histogram(np.array([0, 10]), np.array([3, 1]))
    assert histogram.percentile(90) == pytest.approx(7)
    assert histogram.percentile(100) == 10


@pytest.mark.parametrize("percentile", [-0.1, 100.5, float("nan")])
def test_a_percentile_out_of_range_is_refused(percentile):
    with pytest.raises(BadInput, match="is outside 0 to 100"):
        Histogram(np.array([1]), np.array([4])).percentile(percentile)


def test_a_percentile_that_is_not_tabulated_names_those_that_are():
    with pytest.raises(BadInput, match=r"97 is not stored: choose one of 95, 99\.5"):
        Table({95.0: 1.0, 99.5: 2.0}).percentile(97)


def test_normalise_by_hand():
    """Clipped at 30, then 10..30 becomes 0..1: 10 -> 0, 15 -> .25, 30 and 200 -> 1."""
    block = np.array([[10, 15], [30, 200]], np.uint8)
    made = normalise(block, 10, 30)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.array([[0, 0.25], [1, 1]], np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_constant_volume_becomes_zeros(dtype):
    made = normalise(np.full((2, 3), 7, dtype), 7, 7)
    np.testing.assert_array_equal(made, np.zeros((2, 3), np.float32))


def test_large_integers_keep_their_contrast():
    """float32 would round 4e9 + 1 to 4e9."""
    block = np.array([4_000_000_000, 4_000_000_001, 4_000_000_004], np.uint32)
    np.testing.assert_array_equal(normalise(block, 4e9, 4e9 + 4), np.float32([0, 0.25, 1]))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), percentile=st.sampled_from(TABULATED))
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_normalised_voxels_lie_in_0_to_1_and_keep_their_order(dtype, data, percentile):
    voxels = data.draw(_voxels(dtype))
    limits = (float(voxels.min()), float(np.percentile(voxels.astype(np.float64), percentile)))
    made = normalise(np.sort(voxels), *limits)
    assert made.min() >= 0
    assert made.max() <= 1
    assert (np.diff(made) >= 0).all()
