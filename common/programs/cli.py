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
            If interrupted runs cannot always be resumed, also with `resumes()`.
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
        )


def _always() -> bool:
    return True


def run(
    main: Callable[[], None],
    define_flags: Callable[[], None],
    resumes: Callable[[], bool] = _always,
) -> None:
    """Defines the program's flags, parses the command line and runs `main`.

    A UserError or a wrong flag prints one line on standard error and exits with status 1; Ctrl-C
    exits with status 130, `--help` with status 0.

    Args:
        main: the program; reads flags and passes plain values on.
        define_flags: defines all flags. They become key flags of the program, so that `--help`
            also lists those that shared functions define.
        resumes: says whether the same command resumes an interrupted run.
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
            if len(arguments) > 1:
                raise UserError(
                    f'expected flags only (--name=value); found {" ".join(arguments[1:])!r}. '
                    'See --help.'
                )
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
