"""Claims about the maxima's geometry, on made-up points."""

import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from common.report.claims import CONTRADICTED, PARTLY, REPRODUCED
from common.report.figures import geometry

RNG = np.random.default_rng(0)
CLIPPED = geometry._CLIPPED
RANDOM = geometry._RANDOM


def points(shared=0.0, size=1.0, pixels=2000, count=12):
    """[count, pixels] signs, of which a share are the same in all points."""
    signs = RNG.choice((-1.0, 1.0), (count, pixels)).astype(np.float32)
    signs[:, : int(shared * pixels)] = 1
    return size * signs


def found(perturbations, correlations=(0.5, 0.3)):
    return geometry._Points.of(
        [perturbations], [np.full(len(perturbations), c) for c in correlations]
    )


def uniform(clipped=False):
    noise = RNG.uniform(-1, 1, (12, 2000)).astype(np.float32)
    return geometry._Points.of([np.maximum(noise, 0) if clipped else noise], [])


def claims(natural, trained, clipped=False):
    """Distances, angles, negative inner products, deteriorating correlation."""
    return geometry._claims(
        {'naturally trained': natural, 'adversarially trained': trained},
        {RANDOM: uniform(), CLIPPED: uniform(clipped)},
    )


def shown(points, statistic, column='50%'):
    table = geometry._table(0.3, {'A': points})
    row = next(row for row in table.rows if row[0].startswith(f'A: {statistic}'))
    return float(row[table.columns.index(column)].rstrip('%'))


def test_clipping_narrows_the_angles_of_random_points():
    same = claims(found(points()), found(points()))[1]
    assert f'{RANDOM}: 90 degrees; {CLIPPED}: 90 degrees' in same.measured
    apart = claims(found(points()), found(points()), clipped=True)[1]
    assert uniform(True).angle == pytest.approx(68, abs=2)
    assert f'{CLIPPED}: {uniform(True).angle:.0f} degrees' in apart.measured


def test_shared_signs_and_lengths_stand_in_the_table():
    assert shown(found(points(0.8)), 'share moved the same way') == pytest.approx(0.9, abs=0.01)
    assert shown(uniform(), 'share moved the same way') == pytest.approx(0.5, abs=0.01)
    # Signs are as long as 1 a pixel, uniform numbers as the root of a third.
    ratio = shown(found(points()), 'l2 length') / shown(uniform(), 'l2 length')
    assert ratio == pytest.approx(3**0.5, abs=0.02)


def test_correlations_stand_in_the_table():
    of_points = found(points(), (0.5, -0.3))
    for start, mean, negative in (('0.0375', 0.5, 0), ('0.075', -0.3, 100)):
        words = f"correlation with the image's gradient, epsilon {start}"
        assert shown(of_points, words, 'mean') == mean
        assert shown(of_points, words, 'negative') == negative


@pytest.mark.parametrize(
    'size, shared, ratio, angle, distances, angles',
    [
        (3**-0.5, 0.0, 1.0, 90, REPRODUCED, REPRODUCED),
        (1.0, 0.0, 1.73, 90, CONTRADICTED, REPRODUCED),
        (0.1, 0.8, 0.08, 37, CONTRADICTED, CONTRADICTED),
    ],
)
def test_what_is_close(size, shared, ratio, angle, distances, angles):
    both = found(points(shared, size))
    assert both.apart(uniform()) == pytest.approx(ratio, abs=0.02)
    assert both.angle == pytest.approx(angle, abs=1)
    said = claims(both, both)
    assert [claim.verdict for claim in said[:2]] == [distances, angles]
    assert f'naturally trained: {both.angle:.0f} degrees' in said[1].measured
    assert said[0].n == '66 pairs a network'


def test_one_network_alone_makes_a_claim_hold_in_part():
    said = claims(found(points(size=3**-0.5)), found(points(0.8)))
    assert [claim.verdict for claim in said[:2]] == [PARTLY, PARTLY]
    assert said[1].measured.endswith('(holds for naturally trained)')


def test_clipped_and_other_random_points_can_say_different_things():
    size = np.median(uniform(True).distances) / np.median(uniform().distances) * 3**-0.5
    both = found(points(size=size))
    said = claims(both, both, clipped=True)[0]
    assert said.verdict == PARTLY
    assert f'naturally trained, beside {CLIPPED}' in said.measured.split('(holds for')[1]
    assert f'naturally trained, beside {RANDOM}' not in said.measured.split('(holds for')[1]


def with_correlations(values):
    return geometry._Points.of([points()], [np.full(12, 0.5), np.asarray(values)])


@pytest.mark.parametrize(
    'negative, expected', [(0, CONTRADICTED), (1, PARTLY), (800, REPRODUCED), (40, REPRODUCED)]
)
def test_some_inner_products_are_negative_only_if_their_interval_says_so(negative, expected):
    """One of 800 at -0.0001 is not "some"."""
    values = np.where(np.arange(800) < negative, -0.0001, 0.3)
    claim = claims(with_correlations(values), with_correlations(values))[2]
    assert claim.verdict == expected and f'{negative} of 800' in claim.measured
    assert ('-0.0001' in claim.measured) == (negative > 0)
    if negative == 1:
        assert 'naturally trained: 0.02% to 0.70%' in claim.interval
    mixed = claims(with_correlations(values), with_correlations(np.full(800, 0.3)))[2]
    assert mixed.verdict == (CONTRADICTED if negative == 0 else PARTLY)


@pytest.mark.parametrize(
    'correlations, expected',
    [((0.5, 0.3), REPRODUCED), ((0.3, 0.3), CONTRADICTED), ((0.3, 0.5), CONTRADICTED)],
)
def test_correlations_that_deteriorate(correlations, expected):
    both = found(points(), correlations)
    claim = claims(both, both)[3]
    assert claim.verdict == expected
    assert '{:.3f}, {:.3f}'.format(*correlations) in claim.measured


def test_a_deterioration_within_the_intervals_is_none():
    noisy = np.random.default_rng(1).normal(0.3, 0.2, 12)
    claim = claims(with_correlations(noisy), with_correlations(noisy))[3]
    assert claim.verdict == REPRODUCED
    close = noisy + 0.15
    claim = claims(with_correlations(close), with_correlations(close))[3]
    assert claim.verdict == CONTRADICTED


def test_one_maximum_is_no_pair():
    @dataclasses.dataclass
    class Nothing:
        quick = False

    with pytest.raises(UserError, match='at least 2 restarts'):
        geometry.landscape(Nothing(), 1)
