"""Arguments of functions: numbers and names, or one line that says what they should be."""

import doctest

import numpy as np
import pytest
import tensorflow as tf

from common import arguments
from common.arguments import checked_choice, checked_number
from common.errors import BadInput


def test_the_documented_example_runs():
    result = doctest.testmod(arguments)
    assert result.failed == 0 < result.attempted


@pytest.mark.parametrize('value', [8, 0.5, np.float32(0.5), np.array(8), np.int64(8)])
def test_numbers_become_pythons(value):
    found = checked_number('epsilon', value, least=0)
    assert type(found) in (int, float) and found == value


def test_tensors_of_schedules_are_left_alone():
    tensor = tf.constant(0.5)
    assert checked_number('epsilon', tensor, least=0) is tensor

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def traced(value):
        return checked_number('epsilon', value, least=0) * 2

    assert traced(tensor) == 1


@pytest.mark.parametrize(
    ('value', 'settings', 'message'),
    [
        ('8', {}, "expected n as a number; found '8'"),
        (None, {}, 'expected n as a number; found None'),
        (1j, {}, 'expected n as a number; found 1j'),
        (np.arange(90), {}, r'expected n as a number; found an array of shape \[90\]'),
        (tf.zeros([2]), {}, r'expected n as a number; found an array of shape \[2\]'),
        ([0] * 90, {}, r'expected n as a number; found \[0, .*\.\.\.'),
        (np.nan, {}, 'n must be finite; found nan'),
        (-1, {'least': 0}, 'n must be finite and at least 0; found -1'),
        (2.5, {'whole': True}, 'expected n as a whole number; found 2.5'),
        ('10', {'whole': True}, "expected n as a whole number; found '10'"),
        (0, {'whole': True, 'least': 1}, 'n must be at least 1; found 0'),
    ],
)
def test_anything_else_is_refused_in_one_line(value, settings, message):
    with pytest.raises(BadInput, match=message) as refused:
        checked_number('n', value, **settings)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('value', ['linff', None, ['linf'], 3])
def test_unknown_names(value):
    assert checked_choice('norm', 'l2', ('linf', 'l2')) == 'l2'
    with pytest.raises(BadInput, match='unknown norm .*; expected one of: linf, l2'):
        checked_choice('norm', value, ('linf', 'l2'))
