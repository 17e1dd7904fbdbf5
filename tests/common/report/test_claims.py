"""Claims as rows: verdicts from cases, and numbers with their intervals."""

import pytest

from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED, Case, Claim, verdict
from common.statistics import Measured


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


def test_a_case_shows_its_numbers_and_their_intervals():
    case = Case.of('A', Measured(0.5, 0.4, 0.6), Measured(0.75, 0.7, 0.8), held=True)
    assert case == Case('A', '50.0%, 75.0%', '40.0% to 60.0%, 70.0% to 80.0%', True)
    case = Case.of('A', Measured(0.5, 0.4, 0.6), form='+.2f')
    assert case == Case('A', '+0.50', '+0.40 to +0.60')
