"""--help: every flag of every program has a subject; what an entry looks like."""

import importlib
import inspect
import pkgutil
import types

import pytest
from absl import flags

from cifar10.data_set import CIFAR10
from common import programs
from common.programs import config_flags
from common.programs import flags as shared_flags
from common.programs.help_text import about
from common.training.setting import Subject, with_rows
from mnist.data_set import MNIST

NUMBERS = flags.IntegerParser | flags.FloatParser
MODULES = [
    module
    for info in pkgutil.iter_modules(programs.__path__, 'common.programs.')
    if hasattr(module := importlib.import_module(info.name), 'define_flags')
]
CASES = [
    pytest.param(module, data_sets, id=f'{module.__name__} {[d.key for d in data_sets]}')
    for module in MODULES
    for data_sets in (
        [[MNIST], [CIFAR10]] if inspect.signature(module.define_flags).parameters else [[]]
    )
]


@pytest.fixture
def defined():
    """(function that defines flags, *its arguments) -> these flags, until the test ends."""
    names = set()

    def define(function, *arguments):
        before = set(flags.FLAGS)
        function(*arguments)
        names.update(new := set(flags.FLAGS) - before)
        return [flags.FLAGS[name] for name in new]

    yield define
    for name in names:
        delattr(flags.FLAGS, name)


def test_the_programs_are_there():
    assert len(MODULES) > 10


@pytest.mark.parametrize('module, data_sets', CASES)
def test_every_flag_of_every_program_has_a_subject(module, data_sets, defined):
    for flag in defined(module.define_flags, *data_sets):
        assert isinstance(getattr(flag, 'subject', None), Subject), flag.name


NO_PATHS = {'name', 'commit', 'machine', 'notes', 'weights', 'bounds', 'model_output'}
LATER = {'init_from', 'data'}  # kept in config.json as typed, and expanded when they are loaded


@pytest.mark.parametrize('module, data_sets', CASES)
def test_every_path_may_begin_with_a_tilde(module, data_sets, defined, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    for flag in defined(module.define_flags, *data_sets):
        takes_any_text = isinstance(flag.value, str) or flag.value in (None, [])
        if takes_any_text and not isinstance(flag.parser, flags.EnumParser | NUMBERS):
            if flag.name not in NO_PATHS | LATER:
                flag.parse('~/it')
                assert flag.value in (f'{tmp_path}/it', [f'{tmp_path}/it']), flag.name


def define():
    with about(Subject.OUTPUT):
        shared_flags.define_path('path', None, 'Where to.')
    config_flags.define_settings('random_start', 'loss', epsilon=0.3, steps=20, seed=0)
    shared_flags.define_restarts()
    with about(Subject.TASK):
        flags.DEFINE_enum(
            'kind', 'b', ['a', 'b'], with_rows('Which kind.', {'a': 'the first', 'b': 'the other'})
        )
        flags.DEFINE_list('names', [], 'Any names.')
    flags.DEFINE_float('share', 0.5, 'Nobody said what about.', lower_bound=0, upper_bound=1)


PROGRAM = types.SimpleNamespace(__name__='prog', main=lambda: None, define_flags=define)


@pytest.mark.parametrize('flag', ['--help', '--helpshort', '-?'])
def test_help(run_program, flag, monkeypatch):
    monkeypatch.setenv('COLUMNS', '78')
    status, out, err = run_program(PROGRAM, flag)
    assert (status, err) == (0, '')
    assert (
        """
What to do:
  --kind: Which kind. (default: b)
      a: the first
      b: the other
  --names: Any names.

The attack:
  --epsilon: Radius of the ball, in pixel units of the data set. (a number, at
      least 0; default: 0.3)
  --steps: Number of PGD steps. (a whole number, at least 0; default: 20)
  --[no]random_start: Start PGD at a random point of the ball instead of at
      the image. (default: yes)
  --loss: The loss that the adversary maximizes: cross-entropy, or Carlini and
      Wagner's margin. (one of: xent, cw; default: xent)
  --restarts: Runs of a random attack; an image counts as robust only if it
      survives all of them. (a whole number, at least 1; default: 1)

Output:
  --path: Where to.

Randomness:
  --seed: Seed of all random numbers. (a whole number, at least 0; default: 0)

Other:
  --share: Nobody said what about. (a number from 0 to 1; default: 0.5)

--helpfull lists the flags of absl as well.
"""
        in out
    )


def test_full_help_has_absls_own_flags_too(run_program):
    status, out, _ = run_program(PROGRAM, '--helpfull')
    assert status == 0
    assert '--epsilon' in out and '--verbosity' in out
    assert '--verbosity' not in run_program(PROGRAM, '--help')[1]


def test_help_can_be_switched_off(run_program):
    assert run_program(PROGRAM, '--nohelp') == (0, '', '')
