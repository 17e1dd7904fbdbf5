"""Schedules at their edges."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.training.schedules import Cosine, LinearRise, Piecewise


def test_piecewise_is_tensorflow_1s():
    values, boundaries = (0.1, 0.01, 0.001), (40_000, 60_000)
    schedule = Piecewise(values, boundaries)
    for step in (0, 39_999, 40_000, 40_001, 59_999, 60_000, 60_001, 10**9):
        expected = tf.compat.v1.train.piecewise_constant(
            tf.constant(step, tf.int64),
            [tf.constant(b, tf.int64) for b in boundaries],
            list(values),
        )
        expected = expected() if callable(expected) else expected
        assert schedule(step) == pytest.approx(float(expected))
    assert schedule(40_000) == 0.1 and schedule(40_001) == 0.01


def test_one_value_is_a_constant():
    assert {Piecewise((1e-4,))(step) for step in (0, 1, 10**9)} == {1e-4}


@pytest.mark.parametrize(
    'values, boundaries, message',
    [
        ((), (), 'found 0 values and 0 boundaries'),
        ((1.0,), (5,), 'found 1 values and 1 boundaries'),
        ((1.0, 2.0), (), 'found 2 values and 0 boundaries'),
        ((1.0, 2.0, 3.0), (5, 5), 'increasing boundaries'),
        ((1.0, 2.0, 3.0), (6, 5), 'increasing boundaries'),
    ],
)
def test_piecewise_refuses_what_does_not_fit(values, boundaries, message):
    with pytest.raises(ValueError, match=message):
        Piecewise(values, boundaries)


def test_cosine_falls_from_the_peak_to_zero():
    schedule = Cosine(peak=2.0, total=100)
    assert schedule(0) == 2.0
    assert math.isclose(schedule(50), 1.0)
    assert math.isclose(schedule(25), 1 + math.cos(math.pi / 4))
    assert schedule(100) == schedule(10**6) == 0.0
    assert np.all(np.diff([schedule(step) for step in range(101)]) < 0)


def test_cosine_rises_linearly_first():
    schedule = Cosine(peak=2.0, total=100, rise=4)
    assert [schedule(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert math.isclose(schedule(52), 1.0)
    assert schedule(100) == 0.0


@pytest.mark.parametrize('rise', [10, 15])
def test_cosine_that_only_rises_stays_finite(rise):
    values = [Cosine(peak=1.0, total=10, rise=rise)(step) for step in range(20)]
    assert np.isfinite(values).all() and max(values) <= 1.0


def test_linear_rise_reaches_one_and_stays():
    assert [LinearRise(4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert LinearRise()(0) == LinearRise(1)(0) == 1.0


@pytest.mark.parametrize(
    'schedule', [Piecewise((0.1, 0.01), (5,)), Cosine(1.0, 10, 2), LinearRise(3)], ids=repr
)
def test_values_are_plain_floats_whatever_the_step(schedule):
    for step in (0, np.int64(3), 7):
        assert type(schedule(step)) is float
