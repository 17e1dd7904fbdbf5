"""What messages quote from libraries' errors."""

import pytest

from common.errors import reason


@pytest.mark.parametrize(
    'message, quoted',
    [
        ('one\ntwo', 'one'),
        ('', 'ValueError'),
        (
            '4 objects failed. Example for <conv1>:.\n\tShapes differ\nmore',
            '4 objects failed. Example for <conv1>: Shapes differ',
        ),
        ('{{function_node x}} it failed', 'it failed'),
        ('ends with:', 'ends with:'),
        (
            'Exception encountered when calling Net.call().\n\n\x1b[1mrank is 2\x1b[0m\n\nArgs',
            'rank is 2',
        ),
        (
            'Exception encountered when calling Net.call().',
            'Exception encountered when calling Net.call().',
        ),
    ],
)
def test_a_reason_is_one_line(message, quoted):
    assert reason(ValueError(message)) == quoted


def test_the_reason_of_a_key_error_is_no_repr():
    assert reason(KeyError('Exception encountered when calling X.call().\n\nmine')) == 'mine'
    assert reason(KeyError('logits')) == 'logits'
