"""The command line behind an exhibit: the command itself, and what it adds to name and title."""

import hashlib
import pathlib
import re
import shlex
import sys

from absl import flags

_SHAPES_NOTHING = ('figure', 'output_dir', 'output', 'data_dir', 'json')


def command(program: str) -> str:
    """The command line, reduced to the given flags that affect the result.

    Omits --figure, which each figure adds itself.

    Args:
        program: module name of the program, such as 'mnist.figures'.
    """
    return shlex.join(['python', '-m', program, *(flag.serialize() for flag in _shaping())])


def suffix() -> str:
    """End of an exhibit's name: every flag that makes the exhibit differ from the default one.

    It keeps a quick look from overwriting a result that took hours.
    """
    given = ''.join(f'_{flag.name}_{_as_name(str(flag.value))}' for flag in _unusual())
    return re.sub(r'[^\w.+-]', '_', given)


def in_words() -> str:
    """End of an exhibit's title: the same flags, such as ' (--every=10)', or '' without any."""
    given = ', '.join(f'--{flag.name}={pathlib.Path(str(flag.value)).name}' for flag in _unusual())
    return f' ({given})' if given else ''


def _as_name(value: str) -> str:
    """The last part of a path; a digest keeps different paths with the same last part apart."""
    name = pathlib.Path(value).name
    return name if name == value else f'{name}_{hashlib.sha256(value.encode()).hexdigest()[:8]}'


def _unusual() -> list[flags.Flag]:
    return [
        flag
        for flag in _shaping()
        if flag.value != flag.default and flag.name not in ('table', 'method')
    ]


def _shaping() -> list[flags.Flag]:
    """The given flags that affect the result."""
    return [
        flag
        for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        if flag.present and flag.name not in _SHAPES_NOTHING
    ]
