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
    ],
)
def test_a_reason_is_one_line(message, quoted):
    assert reason(ValueError(message)) == quoted
