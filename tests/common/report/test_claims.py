"""Claims as rows: verdicts from cases, and numbers with their intervals."""

import numpy as np
import pytest

from common.report.claims import (
    CONTRADICTED,
    NOT_TESTED,
    PARTLY,
    REPRODUCED,
    Case,
    Claim,
    Measured,
    verdict,
)
from common.statistics import wilson_interval


@pytest.mark.parametrize(
    'held, expected',
    [
        ([], NOT_TESTED),
        ([True, True], REPRODUCED),
        ([True, False], PARTLY),
        ([False], CONTRADICTED),
    ],
)
def test_a_verdict_follows_from_all_cases(held, expected):
    assert verdict(held) == expected
    cases = [Case(f'case {i}', '', held=h) for i, h in enumerate(held)]
    cases.append(Case('undecided', '5'))
    assert Claim.of('It is so.', 'section 1', cases, '9 images').verdict == expected


def test_a_claim_lists_its_cases_and_where_it_holds():
    cases = [Case('A', '5', '4 to 6', True), Case('B', '7', held=False), Case('C', '8')]
    claim = Claim.of('It is so.', 'section 1', cases, '9 images', 'length')
    assert claim.measured == 'length: A: 5; B: 7; C: 8 (holds for A)'
    assert claim.interval == 'A: 4 to 6' and claim.verdict == PARTLY
    given = Claim.of('It is so.', 'section 1', cases, '9 images', judgement=CONTRADICTED)
    assert given.verdict == CONTRADICTED and given.measured == 'A: 5; B: 7; C: 8'
    assert str(given).startswith('contradicted: It is so. (section 1) Measured: A: 5')


def test_a_claim_without_cases_measured_nothing():
    claim = Claim.of('It is so.', 'section 1', [], '0 images')
    assert (claim.measured, claim.interval, claim.verdict) == ('nothing', None, NOT_TESTED)


def test_other_verdicts_are_refused():
    with pytest.raises(ValueError, match="'confirmed'; expected one of: reproduced"):
        Claim('It is so.', 'section 1', '5', None, '9 images', 'confirmed')


def test_shares_have_wilsons_interval():
    assert Measured.share(3, 10) == (0.3, *wilson_interval(3, 10))
    nothing = Measured.share(0, 0)
    assert np.isnan(nothing.value) and nothing[1:] == (0, 1)


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
