"""What a setting of training is: a dataclass field with its help text, choices and bounds."""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class Subject(enum.Enum):
    """What a setting is about. --help groups flags by it, in this order."""

    TASK = 'What to do'
    NETWORK = 'The network'
    ATTACK = 'The attack'
    TRAINING = 'The training'
    VALIDATION = 'Held-out images'
    DATA = 'The images'
    OUTPUT = 'Output'
    RANDOMNESS = 'Randomness'
    RESOURCES = 'Speed and memory'


@dataclasses.dataclass(frozen=True)
class Choice:
    """One row of a table by name, such as a learning-rate schedule.

    Attributes:
        words: what it is, for --help.
        make: the config (and further arguments, depending on the table) -> the thing itself.
        uses: settings that no other row of the table reads.
        prefers: setting -> its value with this choice unless the user gives another one.
    """

    words: str
    make: Callable[..., Any]
    uses: tuple[str, ...] = ()
    prefers: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def with_rows(words: str, rows: Mapping[str, str]) -> str:
    """A help text, with a line for each choice: name -> what it is."""
    return '\n'.join((words, *(f'{name}: {what}' for name, what in rows.items())))


def setting(
    words: str,
    default: Any = dataclasses.MISSING,
    *,
    subject: Subject = Subject.TRAINING,
    choices: Iterable[str] | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field; without a default, the data set must set it.

    Args:
        words: help text. The rows of a table are appended to it.
        default: value if no other is given.
        subject: what it is about.
        choices: the names it may have, or a table of `Choice`s (or of words) by name.
        least: smallest value.
        most: largest value.
        below: exclusive upper bound.
    """
    if isinstance(choices, Mapping):
        rows = {
            name: choice if isinstance(choice, str) else choice.words
            for name, choice in choices.items()
        }
        words = with_rows(words, rows)
    metadata = {
        'words': words,
        'subject': subject,
        'choices': None if choices is None else tuple(choices),
        'least': least,
        'most': most,
        'below': below,
    }
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)
