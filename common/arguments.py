"""Arguments of functions, checked at the door: one line says what is wrong."""

import math
import numbers
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import BadInput


def checked_number(
    name: str, value: Any, *, least: float | None = None, whole: bool = False, finite: bool = True
) -> Any:
    """A real number as Python has it, or a tensor as it is.

    NumPy's numbers become Python's, since they would turn float32 images into float64.

    Args:
        name: of the argument.
        value: the number. Where it need not be whole, a scalar tensor is taken too, which schedules
            of training pass.
        least: the smallest that is allowed; None for any.
        whole: whether it must be an integer.
        finite: whether NaN and infinity are refused.

    Raises:
        BadInput: it is no number, not finite or too small.

    >>> checked_number('steps', np.int64(7), least=1, whole=True)
    7
    """
    if tf.is_tensor(value) and not whole and value.shape.rank in (0, None):
        return value
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, numbers.Integral if whole else numbers.Real):
        kind = 'a whole number' if whole else 'a number'
        raise BadInput(f'expected {name} as {kind}; found {_shown(value)}.')
    if (finite and not math.isfinite(value)) or (least is not None and value < least):
        wanted = [] if whole else ['finite']
        wanted += [] if least is None else [f'at least {least}']
        raise BadInput(f'{name} must be {" and ".join(wanted)}; found {value}')
    return value


def checked_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """One of several names.

    Raises:
        BadInput: it is none of them.
    """
    if value not in list(choices):  # not by its hash, which lists do not have
        raise BadInput(f'unknown {name} {_shown(value)}; expected one of: {", ".join(choices)}')
    return value


def _shown(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, np.ndarray) or tf.is_tensor(value):
        return f'an array of shape {list(value.shape)}'
    words = ' '.join(repr(value).split())
    return words if len(words) <= 60 else f'{words[:60]}...'
