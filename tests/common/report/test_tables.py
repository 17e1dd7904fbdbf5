"""Claims about tables of accuracies, on made-up rows and cascades."""

import types

import numpy as np
import pytest

from common.attacks import PGD
from common.evaluation.cascade import Stage, Verdict
from common.evaluation.rows import Row
from common.evaluation.sanity_checks import Check
from common.report import tables
from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED
from common.threat_model import LinfBall


def row(accuracy, paper, n=1000):
    return Row(
        method='pgd',
        steps=7,
        restarts=1,
        step_size=2.0,
        source='A',
        target='A',
        epsilon=8.0,
        natural=1.0,
        accuracy=accuracy,
        n=n,
        interval=(accuracy - 0.01, accuracy + 0.01),
        paper=paper,
        seconds=1.0,
        gradients=7,
    )


def exhibit(*rows):
    return tables.table_exhibit(
        rows, key='a', title='A', command='c', setting='s', networks={}, why=('because',)
    )


@pytest.mark.parametrize(
    'papers, expected',
    [
        ((0.5, 0.505, None), REPRODUCED),
        ((0.5, 0.6, 0.4), PARTLY),
        ((0.6, 0.4), CONTRADICTED),
        # Published numbers are rounded to a tenth of a percent.
        ((0.5104, 0.4896), REPRODUCED),
        ((0.5106, 0.4894), CONTRADICTED),
    ],
)
def test_rows_beside_published_numbers(papers, expected):
    (claim,) = exhibit(*(row(0.5, paper) for paper in papers)).claims
    assert claim.verdict == expected and claim.n == '1,000 images a row'
    assert '0.05 points' in claim.interval


def test_without_published_numbers_nothing_is_claimed_or_explained():
    made = exhibit(row(0.5, None))
    assert made.claims == () and made.remarks == ()
    assert exhibit(row(0.5, 0.5)).remarks == ('because',)


def cascade(by_pgd, by_gradients, by_queries, by_transfer=0, n=1000, stages=4):
    attack = PGD(LinfBall(8.0), 20, 2.0)
    queries = types.SimpleNamespace(gradients=0)
    every = (
        Stage('pgd', attack),
        Stage('pgd, from B', attack, source='B'),
        Stage('apgd', attack),
        Stage('square', queries, queries=5000),
    )
    broken_by = np.full(n, -1, np.int32)
    order = np.repeat([0, 1, 2, 3], [by_pgd, by_transfer, by_gradients, by_queries])
    broken_by[: len(order)] = order
    none = np.zeros(n, np.int32)
    losses = np.zeros(n, np.float32)
    return Verdict(every[:stages], broken_by, none, none, losses, np.zeros(stages))


@pytest.mark.parametrize(
    'broken, expected',
    [
        ((500, 50, 0), CONTRADICTED),
        ((500, 0, 0), REPRODUCED),
        ((500, 5, 0), NOT_TESTED),  # the interval holds half a point
        ((500, 0, 50), REPRODUCED),  # queries without gradients are no first-order adversary
        ((500, 0, 0, 50), REPRODUCED),  # nor are another network's gradients
    ],
)
def test_first_order_adversaries_beyond_pgd(broken, expected):
    claim = tables._first_order(cascade(*broken))
    assert claim.verdict == expected and claim.n == '1,000 images'
    assert 'PGD leaves 50.00%' in claim.measured
    assert f'break {broken[1] / 1000:.2%}' in claim.measured


def test_pgd_alone_does_not_test_the_conjecture():
    assert tables._first_order(cascade(500, 0, 0, stages=1)).verdict == NOT_TESTED


def test_checks_that_warn_are_marked():
    judgement = types.SimpleNamespace(
        verdict=cascade(500, 50, 0),
        checks=[Check('more steps', False, 'it breaks more'), Check('transfer', True, 'none')],
        row=row(0.45, None),
    )
    made = tables.worst_case_exhibit(
        judgement, key='a', title='A', command='c', setting='s', networks={}
    )
    assert made.remarks[0].startswith('45.00% (41.9')
    stages, checks = made.tables
    assert len(stages.rows) == 4
    assert checks.rows == (('more steps', 'it breaks more', 'WARNING'), ('transfer', 'none', 'ok'))
