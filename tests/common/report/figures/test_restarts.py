"""Claims about the losses of many restarts, also at the limits of float32."""

import warnings

import numpy as np
import pytest

from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED
from common.report.figures import restarts


def both(values):
    return {'naturally trained': values, 'adversarially trained': values}


def test_small_losses_are_compared_with_each_other_and_not_with_a_floor():
    tiny = np.array([1e-20, 2e-20, 4e-20], np.float32)
    said = restarts._small(both([tiny]))[0]
    assert '2 to 2 times (' not in said.measured and said.measured.count('2 to 2 times') == 2
    large = restarts._small(both([tiny * np.float32(1e20)]))[0]
    assert large == said and said.verdict == CONTRADICTED


@pytest.mark.parametrize(
    'values, most, expected',
    [
        ([0, 0, 0], '1 to 1', REPRODUCED),
        ([0.5], '1 to 1', REPRODUCED),
        ([0, 0, 30], 'inf to inf', CONTRADICTED),
    ],
)
def test_losses_of_zero_and_single_losses_are_compared_without_a_warning(values, most, expected):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        said = restarts._small(both([np.array(values, np.float32)]))[0]
    assert f'and {most} times' in said.measured and said.verdict == expected


def test_one_image_with_outliers_is_enough_against_concentration():
    close, wide = np.array([1.0, 1.1]), np.array([1.0, 1.0, 1.0, 9.0])
    losses = {'naturally trained': [close, close], 'adversarially trained': [close, wide]}
    said = restarts._small(losses)[0]
    assert said.verdict == PARTLY and said.measured.endswith('(holds for naturally trained)')
    assert said.n == '2 restarts of 2 images'


def test_much_smaller_losses_of_the_adversarially_trained_network():
    def claim(*medians):
        losses = {
            'naturally trained': [np.full(3, 10.0)] * 2,
            'adversarially trained': [np.full(3, m) for m in medians],
        }
        return restarts._small(losses)[1]

    assert (
        claim(1.0, 0.01).verdict == REPRODUCED and 'image 2: 10 and 0.01' in claim(1, 0.01).measured
    )
    assert claim(1.0, 5.0).verdict == PARTLY and claim(20.0, 5.0).verdict == CONTRADICTED


@pytest.mark.parametrize('scale', [1.0, 1e-12, 1e-30])
def test_levelling_off_does_not_depend_on_the_size_of_the_losses(scale):
    early = np.minimum(np.arange(9), 4)[None] * np.float32(scale)
    late = np.arange(9)[None] * np.float32(scale)
    said = restarts._rise({'naturally trained': early, 'adversarially trained': late})[1]
    assert 'naturally trained: 0%; adversarially trained: 25%' in said.measured
    assert said.verdict == PARTLY and '(holds for naturally trained)' in said.measured


@pytest.mark.parametrize(
    'curve',
    [
        [3.0, 3.0, 3.0, 3.0, 3.0],
        [0.0] * 5,
        [4.0, 3.0, 2.0, 1.0, 1.0],
        [3.0, 3.0, 3.0, 3.0, 3.0 + 2.4e-7],
        [5.0],
    ],
)
def test_what_does_not_rise_is_said_not_to(curve):
    curve = np.array([curve], np.float32)
    said = restarts._rise(both(curve))[1]
    assert said.measured.count('the mean loss does not rise') == 2
    assert said.verdict == NOT_TESTED
    assert restarts._share_by(curve, 0) is None


def test_a_consistent_rise_is_one_of_all_restarts():
    up, down = np.array([[0.0, 1], [0, 2]]), np.array([[0.0, 1], [2, 1]])
    said = restarts._rise({'naturally trained': up, 'adversarially trained': down})[0]
    assert 'naturally trained: 2 of 2; adversarially trained: 1 of 2' in said.measured
    assert said.verdict == PARTLY
