"""Intervals and tests of what was measured."""

import math

import numpy as np
import pytest

from common.statistics import (
    Measured,
    counted,
    disagreements,
    paired_difference,
    sign_test,
    wilson_interval,
)


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


def first(count, n=1000):
    return np.arange(n) < count


def test_paired_differences_count_images_and_not_accuracies():
    base, other = np.array([0, 0, 0, 1, 1, 1], bool), np.array([1, 1, 0, 0, 1, 1], bool)
    assert disagreements(base, other) == (2, 1)
    found, back = paired_difference(base, other), paired_difference(other, base)
    assert found.value == pytest.approx(1 / 6)
    assert back == pytest.approx((-found.value, -found.high, -found.low))


def test_the_paired_interval_is_agresti_and_mins():
    broken = first(52)
    more = np.roll(first(70), 2)  # 20 more, and 2 fewer
    low, high = paired_difference(broken, more)[1:]
    half = 1.96 * np.sqrt(20.5 + 2.5 - 18**2 / 1002) / 1002
    assert (low, high) == pytest.approx((18 / 1002 - half, 18 / 1002 + half), abs=1e-6)


def test_the_paired_interval_holds_the_difference_in_most_samples():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        kind = rng.choice(3, 300, p=(0.04, 0.02, 0.94))
        found = paired_difference(kind == 1, kind == 0)
        held += found.low <= 0.02 <= found.high
    assert 0.92 * 400 <= held <= 0.98 * 400


def test_the_paired_interval_of_one_image_or_of_no_difference():
    one = paired_difference(np.array([False]), np.array([True]))
    assert one.value == 1 and -1 <= one.low < 0 < one.high <= 1
    same = paired_difference(first(50, 50), first(50, 50))
    assert same.value == 0 and same.low == -same.high < 0


def test_signs_are_tested_exactly():
    assert sign_test(5, 0) == pytest.approx(2 / 2**5)
    assert sign_test(3, 1) == sign_test(1, 3) == pytest.approx(2 * 5 / 2**4)
    assert sign_test(2, 2) == sign_test(0, 0) == 1
    assert sign_test(5000, 4000) < 1e-20


def test_numbers_are_shown_with_their_intervals():
    assert Measured(0.02, 0.015, 0.025).shown() == '2.00% (1.50% to 2.50%)'
    assert Measured(0.5, -0.25, 1).ends('+.1f') == '-0.2 to +1.0'


def test_shares_have_wilsons_interval():
    assert Measured.share(np.arange(10) < 3) == (0.3, *wilson_interval(3, 10))
    nothing = Measured.share(np.zeros(0, bool))
    assert np.isnan(nothing.value) and nothing[1:] == (0, 1) and nothing.shown() is None


def test_the_interval_of_a_mean_covers_it_in_most_samples():
    rng = np.random.default_rng(0)
    samples = [Measured.mean(rng.exponential(size=200)) for _ in range(400)]
    covered = sum(m.low <= 1 <= m.high for m in samples)
    assert 0.91 * 400 <= covered <= 0.98 * 400


def test_means_of_one_value_or_of_none_are_above_nothing():
    least = Measured(0.0, 0.0, 0.0)
    assert not Measured.mean(np.array([5.0])).above(least)
    assert not Measured.mean(np.array([])).above(least)
    assert Measured.mean(np.array([5.0, 5.1])).above(least)


def test_above_needs_intervals_that_do_not_meet():
    assert Measured(2, 1.1, 3).above(Measured(0, -1, 1))
    assert not Measured(2, 1, 3).above(Measured(0, -1, 1))


@pytest.mark.parametrize('n, words', [(0, '0 images'), (1, '1 image'), (2345, '2,345 images')])
def test_counted(n, words):
    assert counted(n, 'image') == words
