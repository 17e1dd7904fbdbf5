"""What is said of many restarts' losses, also of losses that float32 hardly has."""

import warnings

import numpy as np
import pytest

from common.report.figures import restarts


def both(values):
    return {'A_nat': values, 'A': values}


def test_small_losses_are_compared_with_each_other_and_not_with_a_floor():
    tiny = np.array([1e-20, 2e-20, 4e-20], np.float32)
    said = restarts._concentration(both([tiny]), 3)
    assert 'the greatest loss 2 to 2 times its median' in said
    large = restarts._concentration(both([tiny * np.float32(1e20)]), 3)
    assert large == said.replace('e-20', '')


@pytest.mark.parametrize(
    'values, most', [([0, 0, 0], '1 to 1'), ([0.5], '1 to 1'), ([0, 0, 30], 'inf to inf')]
)
def test_losses_of_zero_and_single_losses_are_compared_without_a_warning(values, most):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        said = restarts._concentration(both([np.array(values, np.float32)]), len(values))
    assert f'the greatest loss {most} times its median' in said


@pytest.mark.parametrize('scale', [1.0, 1e-12, 1e-30])
def test_levelling_off_does_not_depend_on_the_size_of_the_losses(scale):
    early = np.minimum(np.arange(9), 4)[None] * np.float32(scale)
    late = np.arange(9)[None] * np.float32(scale)
    said = restarts._levelling({'A_nat': early, 'A': late})
    assert 'naturally trained, the last quarter of the steps brings 0% of the rise' in said
    assert 'which has levelled off; adversarially trained' in said
    assert 'brings 25% of the rise of the mean loss, which has not levelled off' in said


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
    said = restarts._levelling(both(curve))
    assert said.count('the mean loss does not rise') == 2 and 'levelled' not in said
    assert restarts._percent(restarts._share_by(curve, 0)) is None
