"""Intervals of proportions."""

import math

import pytest

from common.statistics import wilson_interval


@pytest.mark.parametrize(
    'successes, n, low, high',
    [
        # Newcombe 1998, table I: method 3, the score interval without continuity correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize('n', [1, 2, 37, 10_000])
def test_the_interval_includes_the_proportion_within_0_and_1(n):
    for successes in {0, 1, n // 2, n - 1, n}:
        low, high = wilson_interval(successes, n)
        assert 0 <= low <= successes / n <= high <= 1
        # Its mirror image belongs to the failures.
        assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low))


def test_the_interval_narrows_with_the_square_root_of_n():
    widths = [high - low for low, high in (wilson_interval(n // 2, n) for n in (10**4, 10**6))]
    assert math.isclose(widths[0] / widths[1], 10, rel_tol=1e-3)
