"""Starting and ending a program: flags, error messages, exit status."""

import dataclasses
import errno
import functools
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from absl import app, flags, logging

from common import startup
from common.errors import UserError
from common.programs import help_text


@dataclasses.dataclass(frozen=True)
class Door:
    """One program for one data set; `python -m <data set>.<program>` runs it.

    Attributes:
        program: a module of `common.programs` with `define_flags(data_set)` and `main(data_set)`.
            If interrupted runs cannot always be resumed, also with `resumes()`; if one word may be
            given without its flag, with the flag's name `POSITIONAL`.
        data_set: the `common.programs.data_set.DataSet` that the program works on.
    """

    program: ModuleType
    data_set: Any

    def __call__(self) -> None:
        """Parses the command line and runs the program."""
        run(
            functools.partial(self.program.main, self.data_set),
            functools.partial(self.program.define_flags, self.data_set),
            getattr(self.program, 'resumes', _always),
            getattr(self.program, 'POSITIONAL', None),
        )


def _always() -> bool:
    return True


def run(
    main: Callable[[], None],
    define_flags: Callable[[], None],
    resumes: Callable[[], bool] = _always,
    positional: str | None = None,
) -> None:
    """Defines the program's flags, parses the command line and runs `main`.

    A UserError or a wrong flag prints one line on standard error and exits with status 1; Ctrl-C
    exits with status 130, `--help` with status 0.

    Args:
        main: the program; reads flags and passes plain values on.
        define_flags: defines all flags. They become key flags of the program, so that `--help`
            also lists those that shared functions define.
        resumes: says whether the same command resumes an interrupted run.
        positional: the flag that a single word without a flag sets, if any.
    """
    before = set(flags.FLAGS)
    define_flags()
    for name in sorted(set(flags.FLAGS) - before):
        # absl knows the main module as sys.argv[0]; declare_key_flag would use this module's name.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])

    def guarded(arguments: list[str]) -> None:
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.ERROR)  # TFDS logs every file it opens
        try:
            startup.hand_over()
            _take(arguments[1:], positional)
            main()
        except UserError as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print(
                'interrupted; '
                + ('run the same command again to resume' if resumes() else 'nothing was kept'),
                file=sys.stderr,
            )
            sys.exit(130)
        except BrokenPipeError:  # the reader of the output is gone, as with `| head`
            _write_no_more()
            sys.exit(1)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _write_no_more()
            print(
                f'error: {error}. Free some space and run the same command again.', file=sys.stderr
            )
            sys.exit(1)

    app.run(guarded, flags_parser=_parse)


def _take(words: list[str], positional: str | None) -> None:
    """Sets the positional flag by a single word; raises UserError for others."""
    if positional is not None and len(words) == 1 and not flags.FLAGS[positional].present:
        flags.FLAGS[positional].value = words[0]
    elif words:
        but = '' if positional is None else f', or the value of --{positional} alone'
        raise UserError(
            f'expected flags only (--name=value){but}; found {" ".join(words)!r}. See --help.'
        )


def _write_no_more() -> None:
    """Discards further output: Python flushes standard output at exit and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments: list[str]) -> list[str]:
    flags.DEFINE_flag(help_text.HelpFlag('help', '?'))
    flags.DEFINE_flag(help_text.HelpFlag('helpshort'))
    try:
        return flags.FLAGS(arguments)
    except BrokenPipeError:  # as with `--help | head`
        _write_no_more()
        sys.exit(0)
    except flags.Error as error:
        message = ' '.join(str(error).split()).rstrip(' ?.')
        print(f'error: {message}. See --help.', file=sys.stderr)
        sys.exit(1)
    except SystemExit:  # --helpfull and --helpxml, after which absl exits with status 1
        sys.exit(0)
