"""Every program: help, wrong flags, user errors, interruptions, a closed output."""

import os
import pathlib
import subprocess
import sys
import types

import pytest
from absl import flags

from common.errors import UserError
from common.programs import cli
from common.programs.config_flags import define_settings


def program(main, define_flags=lambda: None):
    """What the fixture `run_program` expects of a module."""
    return types.SimpleNamespace(__name__='prog', main=main, define_flags=define_flags)


def define_flags():
    define_settings(epsilon=0.3)
    flags.DEFINE_integer('own', 1, 'Of this program alone.', lower_bound=0)


def never():
    pytest.fail('main was called')


def test_flags_reach_main(run_program):
    seen = []

    def main():
        seen.append((flags.FLAGS.epsilon, flags.FLAGS.own))

    assert run_program(program(main, define_flags), '--epsilon=0.1') == (0, '', '')
    assert seen == [(0.1, 1)]


@pytest.mark.parametrize('flag', ['--help', '--helpshort'])
def test_help_lists_own_and_shared_flags_and_is_no_failure(run_program, flag):
    status, out, _ = run_program(program(never, define_flags), flag)
    assert status == 0
    assert '--own: Of this program alone.' in out
    assert '--epsilon: Radius of the ball' in out


def test_full_help_is_no_failure(run_program):
    assert run_program(program(never, define_flags), '--helpfull')[0] == 0


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--epsilon=-1'], ['--epsilon=-1', 'non-negative']),
        (['--epsilon=nan'], ['--epsilon=nan', 'finite']),
        (['--epsilon=inf'], ['--epsilon=inf', 'finite']),
        (['--own=1.5'], ['--own=1.5', 'int']),
        (['--own=-2'], ['--own=-2', 'non-negative']),
        (['--onw=2'], ["'onw'", 'Did you mean: ', 'own. See']),
        (['0.3'], ["'0.3'", 'flags only']),
        (['--own=2', 'a', 'b'], ["'a b'", 'flags only']),
    ],
)
def test_wrong_command_lines_are_one_line_and_a_failure(run_program, arguments, words):
    status, out, err = run_program(program(never, define_flags), *arguments)
    assert (status, out) == (1, '')
    assert err.startswith('error: ') and err.count('\n') == 1
    assert '--help' in err
    for word in words:
        assert word in err


def test_a_users_mistake_is_one_line_and_a_failure(run_program):
    def main():
        raise UserError('expected this; found that. Do so.')

    assert run_program(program(main)) == (1, '', 'error: expected this; found that. Do so.\n')


def test_other_errors_keep_their_traceback(run_program):
    def main():
        raise ValueError('a mistake of ours')

    with pytest.raises(ValueError, match='a mistake of ours'):
        run_program(program(main))


def test_ctrl_c_has_the_status_that_shells_expect(run_program):
    def main():
        raise KeyboardInterrupt

    status, _, err = run_program(program(main))
    assert status == 130
    assert 'interrupted' in err and err.count('\n') == 1


def test_a_reader_that_has_gone_makes_no_traceback():
    # In a separate process, without TensorFlow, which `common.programs.cli` does not need.
    code = (
        'import sys, types\n'
        f'sys.modules["common"] = package = types.ModuleType("common")\n'
        f'package.__path__ = [{os.path.dirname(cli.__file__)!r}]\n'
        'from common.programs import cli\n'
        'def main():\n'
        '    for _ in range(100_000):\n'
        '        print("a line", flush=True)\n'
        'cli.run(main, lambda: None)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'a line\n'
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == ''
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='this system has no full device')
def test_a_full_disk_under_the_output_makes_no_traceback():
    code = (
        'import sys\nfrom common.programs import cli\n'
        'cli.run(lambda: print("a line", flush=True), lambda: None)'
    )
    with open('/dev/full', 'w') as full:
        process = subprocess.run(
            [sys.executable, '-c', code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=pathlib.Path(cli.__file__).parents[2],
            timeout=120,
        )
    error = process.stderr.splitlines()[-1]
    assert process.returncode == 1 and error.startswith('error: ') and 'No space left' in error
    assert 'Traceback' not in process.stderr
