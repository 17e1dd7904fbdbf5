"""--help: a program's flags, grouped by subject."""

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from absl import flags

from common.training.setting import Subject

_OTHERS = 'Other'  # flags that name no subject; no program here has any
_NO_LIMIT = 2**31 - 1  # attacks and seeds count in int32: not worth a reader's time
_MARGIN, _INDENT = '  ', '      '


@contextlib.contextmanager
def about(subject: Subject) -> Iterator[None]:
    """The flags that a block (or decorated function) defines are about `subject`.

    An inner block comes first.
    """
    before = set(flags.FLAGS)
    yield
    for name in set(flags.FLAGS) - before:
        flag = flags.FLAGS[name]
        if not hasattr(flag, 'subject'):
            flag.subject = subject


def grouped() -> dict[str, list[flags.Flag]]:
    """Heading -> the program's own flags, in the order in which they were defined."""
    order = list(flags.FLAGS)
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    own = sorted({flag.name: flag for flag in own}.values(), key=lambda f: order.index(f.name))
    groups = {
        subject.value: [flag for flag in own if getattr(flag, 'subject', None) is subject]
        for subject in Subject
    }
    groups[_OTHERS] = [flag for flag in own if not hasattr(flag, 'subject')]
    return {heading: found for heading, found in groups.items() if found}


def text(introduction: str) -> str:
    """What --help prints.

    Args:
        introduction: the program's docstring.
    """
    width = max(60, min(100, shutil.get_terminal_size().columns))
    lines = [introduction.strip()]
    for heading, found in grouped().items():
        lines += ['', f'{heading}:']
        for flag in found:
            lines += _entry(flag, width)
    return '\n'.join((*lines, '', '--helpfull lists the flags of absl as well.'))


def _entry(flag: flags.Flag, width: int) -> list[str]:
    """The lines of one flag: its name, words, values and default, then a line for each choice."""
    help_text = flag.help
    if isinstance(flag, flags.EnumFlag):  # absl puts the names of all choices first
        help_text = help_text.partition('>: ')[2]
    words, *rows = help_text.splitlines()
    details = '; '.join(filter(None, ('' if rows else _values(flag), _default(flag.default))))
    name = f'[no]{flag.name}' if flag.boolean else flag.name
    first = f'--{name}: {words}' + (f' ({details})' if details else '')
    return [
        *textwrap.wrap(first, width, initial_indent=_MARGIN, subsequent_indent=_INDENT),
        *(
            line
            for row in rows
            for line in textwrap.wrap(
                row, width, initial_indent=_INDENT, subsequent_indent=_INDENT + _MARGIN
            )
        ),
    ]


def _values(flag: flags.Flag) -> str:
    """The values that a flag takes, in words; '' where its help text says all there is to say."""
    parser = flag.parser
    if isinstance(parser, flags.EnumParser):
        return f'one of: {", ".join(parser.enum_values)}'
    if not isinstance(parser, flags.IntegerParser | flags.FloatParser):
        return ''
    kind = 'a whole number' if isinstance(parser, flags.IntegerParser) else 'a number'
    least, most = parser.lower_bound, parser.upper_bound
    if most is not None and most < _NO_LIMIT:
        return f'{kind} from {least:g} to {most:g}'
    return kind if least is None else f'{kind}, at least {least:g}'


def _default(value: Any) -> str:
    """A default as one would type it; '' for none."""
    if value is None or value == '' or value == [] or value == ():
        return ''
    if isinstance(value, bool):
        return f'default: {"yes" if value else "no"}'
    if isinstance(value, list | tuple):
        value = ','.join(map(str, value))
    return f'default: {value:g}' if isinstance(value, float) else f'default: {value}'


class HelpFlag(flags.BooleanFlag):
    """--help and --helpshort, in place of absl's own, which list flags by their modules."""

    def __init__(self, name: str, short_name: str | None = None):
        super().__init__(name, False, 'show this help', short_name=short_name, allow_override=True)

    def parse(self, argument: str | bool) -> None:
        """Prints the help and ends the program, unless it was switched off."""
        if self._parse(argument):
            print(text(sys.modules['__main__'].__doc__ or ''), flush=True)
            sys.exit(0)
