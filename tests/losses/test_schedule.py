"""Pure functions of time, against worked values and against stepping through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import losses as reference
from vpbsd.losses.schedule import learning_rate, ramp, temperature

times = st.integers(0, 300)


@pytest.mark.parametrize(
    ("t", "expected"), [(0, 0.0067379), (20, 0.0600547), (40, 0.2865048), (60, 0.7316156), (80, 1)]
)
def test_ramp_by_hand(t, expected):
    assert ramp(t, 80) == pytest.approx(expected, abs=1e-7)
    assert 0.3 * ramp(t, 80) == pytest.approx(0.3 * expected, abs=1e-7)


def test_no_ramp_is_one_from_the_start():
    assert ramp(0, 0) == 1
    assert ramp(500, 80) == 1


@given(t=times, length=st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_ramp_rises_and_equals_its_reference(t, length):
    assert ramp(t, length) == pytest.approx(reference.ramp(t, length), rel=1e-12)
    assert ramp(t, length) <= ramp(t + 1, length) <= 1


@given(step=times)
@settings(max_examples=30, deadline=None)
def test_temperature_equals_its_reference(step):
    expected = reference.temperature(step, 200, 2.0, 0.5, 0.7)
    assert temperature(step, 200, 2.0, 0.5) == pytest.approx(expected, rel=1e-9)


def test_temperature_by_hand():
    assert temperature(0, 100, 2.0, 0.5) == 2.0
    assert temperature(35, 100, 2.0, 0.5) == pytest.approx(1.0)  # half-way down in log
    assert temperature(70, 100, 2.0, 0.5) == pytest.approx(0.5)
    assert temperature(100, 100, 2.0, 0.5) == pytest.approx(0.5)
    assert temperature(25, 100, 2.0, 0.5, share=0.5) == pytest.approx(1.0)


def test_temperature_copied_from_a_long_run_would_hardly_fall():
    # vq-wav2vec's factor .999995 reaches .5 after 277 258 updates; ours follows the run
    assert temperature(277_258, 277_258, 2.0, 0.5, share=1.0) == pytest.approx(0.5)
    assert temperature(1, 277_258, 2.0, 0.5, share=1.0) == pytest.approx(2 * 0.999995, rel=1e-9)
    assert temperature(40_000, 277_258, 2.0, 0.5, share=1.0) == pytest.approx(1.63746, abs=1e-5)


def test_temperature_of_an_empty_run_is_its_floor():
    assert temperature(0, 0, 2.0, 0.5) == 0.5


@pytest.mark.parametrize(
    ("epochs", "factor"), [(80, 0.9440609), (30, 0.8576959), (300, 0.9847667)]
)
def test_learning_rate_by_hand(epochs, factor):
    assert learning_rate(0, epochs, 0.01, 0.01) == 0.01
    assert learning_rate(1, epochs, 1.0, 0.01) == pytest.approx(factor, abs=1e-7)
    assert learning_rate(epochs, epochs, 0.01, 0.01) == pytest.approx(1e-4)


@given(epoch=times)
@settings(max_examples=20, deadline=None)
def test_learning_rate_equals_its_reference(epoch):
    expected = reference.learning_rate(epoch, 300, 1e-2, 0.1)
    assert learning_rate(epoch, 300, 1e-2, 0.1) == pytest.approx(expected, rel=1e-9)
