"""The command line in an exhibit: what was typed, and how that names and titles the exhibit."""

import hashlib
import pathlib
import re
import shlex
import sys

from absl import flags

_SHAPES_NOTHING = ('figure', 'output_dir', 'output', 'data_dir', 'json')


def command(program: str) -> str:
    """The command line, with the flags that were given and shape what is computed.

    Without --figure, which each figure adds itself.

    Args:
        program: name of the program's module.
    """
    return shlex.join(['python', '-m', program, *(flag.serialize() for flag in _shaping())])


def suffix() -> str:
    """End of an exhibit's name: the flags that make it another one than the default.

    So a quick look does not replace what took hours to compute.
    """
    given = ''.join(f'_{flag.name}_{_as_name(str(flag.value))}' for flag in _unusual())
    return re.sub(r'[^\w.+-]', '_', given)


def in_words() -> str:
    """The same flags for the end of a title, such as ' (--every=10)'; '' without any."""
    given = ', '.join(f'--{flag.name}={pathlib.Path(str(flag.value)).name}' for flag in _unusual())
    return f' ({given})' if given else ''


def _as_name(value: str) -> str:
    """The last part of a path, with a digest where other paths may end the same."""
    name = pathlib.Path(value).name
    return name if name == value else f'{name}_{hashlib.sha256(value.encode()).hexdigest()[:8]}'


def _unusual() -> list[flags.Flag]:
    return [
        flag
        for flag in _shaping()
        if flag.value != flag.default and flag.name not in ('table', 'method')
    ]


def _shaping() -> list[flags.Flag]:
    """The flags that were given and shape what is computed."""
    return [
        flag
        for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        if flag.present and flag.name not in _SHAPES_NOTHING
    ]
