"""The name of an exhibit, and the command that made it."""

import functools
import shlex
import types

import pytest

from common.programs import as_typed, figures
from common.programs import flags as shared_flags
from common.threat_model import LinfBall


@pytest.fixture
def told(run_program):
    """(*flags) -> (end of the name, command, chosen images) of a program that makes figures."""

    def run(*arguments):
        found = []

        def main():
            found.append(
                (
                    as_typed.suffix(),
                    as_typed.command('tiny.figures'),
                    shared_flags.every(),
                    shared_flags.chosen_examples(),
                )
            )

        tiny = types.SimpleNamespace(
            names=('tiny', 'drawn'),
            kind_of_ball=LinfBall,
            epsilon=8.0,
            capacity_epsilon=None,
            batch_size=100,
            unit='pixels from 0 to 255',
        )
        program = types.SimpleNamespace(
            __name__='tiny.figures',
            main=main,
            define_flags=functools.partial(figures.define_flags, tiny),
        )
        status, _, err = run_program(program, *arguments)
        assert status == 0, err
        return found[0]

    return run


def test_by_default_nothing_is_added(told):
    assert told('--figure=1', '--output_dir=/somewhere/else') == (
        '',
        'python -m tiny.figures',
        1,
        slice(None, None, 1),
    )
    assert told('--seed=0', '--every=1')[0] == ''  # the defaults, typed


@pytest.mark.parametrize(
    'flags, end',
    [
        (('--budget=quick',), '_budget_quick'),
        (('--dataset=drawn',), '_dataset_drawn'),
        (('--every=10', '--seed=3'), '_every_10_seed_3'),
        (('--epsilon=0.1',), '_epsilon_0.1'),
        (('--restarts=2000',), '_restarts_2000'),
        (('--attack_dtype=bfloat16',), '_attack_dtype_bfloat16'),
    ],
)
def test_whatever_shapes_the_numbers_is_in_the_name_and_in_the_command(told, flags, end):
    variant, command, *_ = told('--figure=2', *flags)
    assert sorted(variant.split('_')) == sorted(end.split('_'))
    assert all(flag in command for flag in flags)


def test_networks_of_the_same_file_name_have_names_of_their_own(run_program):
    names, commands = [], []

    def main():
        names.append(as_typed.suffix())
        commands.append(as_typed.command('tiny.eval'))

    program = types.SimpleNamespace(
        __name__='tiny.eval',
        main=main,
        define_flags=lambda: shared_flags.define_checkpoint('target', 'A', 'The network'),
    )
    targets = ('runs/one/best.weights.h5', 'my runs/two/best.weights.h5', 'A_nat')
    for target in targets:
        run_program(program, f'--target={target}')
    assert len(set(names)) == 3 and names[2] == '_target_A_nat'
    assert all(name.startswith('_target_best.weights.h5_') for name in names[:2])
    assert [shlex.split(command)[-1] for command in commands] == [
        f'--target={target}' for target in targets
    ]


def test_a_quick_budget_takes_every_100th_image_unless_told(told):
    assert told('--budget=quick', '--num_examples=50')[2:] == (1, slice(None, 50, 1))
    assert told('--budget=quick')[2:] == (100, slice(None, None, 100))
    assert told('--budget=quick', '--every=7', '--num_examples=3')[2:] == (7, slice(None, 21, 7))
