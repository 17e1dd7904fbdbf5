"""Fixtures that tests of several packages share."""

import sys

import pytest
from absl import app, flags

from common import cli


@pytest.fixture
def run_program(monkeypatch, capsys):
    """(module, *arguments) -> (exit status, standard output, standard error) of an entry point.

    It runs in this process, which spares the seconds of importing TensorFlow, and leaves no flags
    behind.
    """
    app.define_help_flags()  # absl defines them once in the life of a process

    def run(module, *arguments):
        monkeypatch.setattr(sys, 'argv', [module.__name__, *map(str, arguments)])
        before = set(flags.FLAGS)
        status = 0
        capsys.readouterr()
        try:
            cli.run(module.main, module.define_flags)
        except SystemExit as stop:
            status = stop.code or 0
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
        return status, *capsys.readouterr()

    return run
