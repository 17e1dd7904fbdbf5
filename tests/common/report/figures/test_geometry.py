"""What is said of the maxima's geometry, on made-up points."""

import dataclasses
import re

import numpy as np
import pytest

from common.errors import UserError
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
    return geometry._Found.of(
        [perturbations], [np.full(len(perturbations), c) for c in correlations]
    )


def uniform(clipped=False):
    noise = RNG.uniform(-1, 1, (12, 2000)).astype(np.float32)
    return geometry._Found.of([np.maximum(noise, 0) if clipped else noise], [])


def remarks(natural, trained, clipped=False):
    return geometry._remarks(
        {'A_nat': natural, 'A': trained}, {RANDOM: uniform(), CLIPPED: uniform(clipped)}
    )


def test_shares_of_signs_are_of_the_pixels_that_both_move():
    perturbations = np.array([[1, -2, 3, 0], [2, 1, 0, 1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(geometry.same_signs(perturbations), [0.5, 0, 0])
    assert geometry.same_signs(perturbations[:1]).shape == (0,)
    np.testing.assert_allclose(geometry.same_signs(perturbations[[0, 0]]), [1])


def test_a_half_of_random_signs_is_shared():
    assert np.median(geometry.same_signs(points())) == pytest.approx(0.5, abs=0.03)
    assert np.median(geometry.same_signs(points(0.5))) == pytest.approx(0.75, abs=0.03)


def test_clipping_is_told_only_where_it_makes_a_difference():
    same = remarks(found(points()), found(points()))[0]
    assert 'Random points are at 90 degrees, clipped ones at 90.' in same
    assert 'pixels at the end of the range' not in same
    apart = remarks(found(points()), found(points()), clipped=True)[0]
    assert 'pixels at the end of the range can only move one way' in apart


def test_smaller_angles_are_explained_by_the_signs_that_maxima_share():
    said = ' '.join(remarks(found(points(0.8)), found(points())))
    assert 'Smaller angles' in said and 'naturally trained, 90% (random points: 50%)' in said
    assert 'Smaller angles' not in ' '.join(remarks(found(points()), found(points())))


def test_maxima_further_apart_than_random_points_lie_at_corners():
    said = ' '.join(remarks(found(points()), found(points(size=0.5))))
    assert 'towards the corners' in said
    # Signs are as long as 1 a pixel, uniform numbers as the root of a third.
    assert re.search('naturally trained, 1.7[234] times as long as those of clipped', said)
    assert 'adversarially trained, 0.' not in said.split('longer, in the median')[1][:99]
    near = ' '.join(remarks(found(points(size=0.5)), found(points(size=0.5))))
    assert 'corners' not in near


@pytest.mark.parametrize(
    'size, shared, distances, angles',
    [
        (3**-0.5, 0.0, r'for it \((1.00|0.99|1.01) times\)', r'for it \(90 degrees\)'),
        (1.0, 0.0, r'against it \(1.7[234] times\)', r'for it \(90 degrees\)'),
        (0.1, 0.8, r'against it \(0.08 times\)', r'against it \(37 degrees\)'),
    ],
)
def test_what_speaks_for_and_against_close_to(size, shared, distances, angles):
    said = remarks(found(points(shared, size)), found(points()))
    (said,) = [remark for remark in said if remark.startswith('The paper: distances')]
    assert re.search(
        f'naturally trained, the distances are {distances}, the angles {angles}; adv', said
    )
    assert 'adversarially trained, the distances are against it (1.7' in said


def test_clipped_and_other_random_points_can_tell_different_things():
    size = np.median(uniform(True).distances) / np.median(uniform().distances) * 3**-0.5
    said = ' '.join(remarks(found(points(size=size)), found(points()), clipped=True))
    assert 'against it beside random points (0.5' in said
    assert re.search(r'and for it beside clipped ones \((1.0|0.9)', said)


@pytest.mark.parametrize(
    'correlations, words',
    [
        (
            (0.5, 0.3),
            '0 of 12 are negative (against it), and the mean correlation goes from 0.500 at '
            'an eighth of the radius to 0.300 at the whole (for it)',
        ),
        ((0.1, -0.1), '12 of 12 are negative (for it)'),
        ((0.3, 0.3), 'to 0.300 at the whole (against it)'),
    ],
)
def test_inner_products_for_and_against(correlations, words):
    assert words in remarks(found(points(), correlations), found(points()))[-1]


def test_one_maximum_is_no_pair():
    @dataclasses.dataclass
    class Nothing:
        quick = False

    with pytest.raises(UserError, match='at least 2 restarts'):
        geometry.landscape(Nothing(), 1)
