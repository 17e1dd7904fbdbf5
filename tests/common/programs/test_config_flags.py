"""Flags that derive from a config: one for each field, over a recipe."""

import dataclasses
import types

import pytest
from absl import flags

from common.programs import config_flags
from common.training.config import TrainingConfig
from common.training.setting import setting


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    network: str = setting('Which network.', 'A', choices=('A', 'B'))
    widths: tuple[int, ...] = setting('Its widths.', (2, 4))


PLAIN = Config(
    dataset='x',
    seed=1,
    epsilon=0.2,
    steps=1,
    step_size=0.1,
    train_steps=100,
    learning_rate=0.1,
    optimizer='adam',
    batch_size=2,
    augment=True,
)
FAST = dataclasses.replace(
    PLAIN, steps=10, batch_size=20, schedule='cosine', learning_rate_warmup=5, augment=True
)
RECIPES = {'plain': PLAIN, 'fast': FAST}


@pytest.fixture
def run(run_program):
    """Arguments -> the config, exit status, standard output and standard error."""

    def run(*arguments):
        found = []

        def define():
            config_flags.define_recipes(RECIPES)
            config_flags.define_config(PLAIN, augment='Vary the images of this data set.')

        program = types.SimpleNamespace(
            __name__='tiny.train',
            main=lambda: found.append(config_flags.chosen_config(RECIPES)),
            define_flags=define,
        )
        status, out, err = run_program(program, *arguments)
        return found[0] if found else None, status, out, err

    return run


def test_a_recipe_yields_to_flags_that_were_given(run):
    for arguments, expected in (
        ([], PLAIN),
        (['--recipe=fast'], FAST),
        (
            ['--recipe=fast', '--batch_size=2', '--noaugment'],
            dataclasses.replace(FAST, batch_size=2, augment=False),
        ),
        (['--steps=3', '--recipe=fast'], dataclasses.replace(FAST, steps=3)),
    ):
        assert run(*arguments)[:2] == (expected, 0)


def test_every_field_is_a_flag(run):
    _, status, out, _ = run('--help')
    assert status == 0
    for field in dataclasses.fields(PLAIN):
        assert f'--{"[no]" if field.type is bool else ""}{field.name}: ' in out
    assert '--[no]augment: Vary the images of this data set.' in out
    assert '--widths: Its widths.' in out and '(default: 2,4)' in out


def test_every_kind_of_value(run):
    config, *_ = run(
        '--widths=3,5', '--network=B', '--init_from=A', '--validation_epsilon=0.5', '--seed=7'
    )
    assert config == dataclasses.replace(
        PLAIN, widths=(3, 5), network='B', init_from='A', validation_epsilon=0.5, seed=7
    )
    assert run('--widths=')[0].widths == ()


@pytest.mark.parametrize(
    'argument, words',
    [
        ('--widths=2,x', 'whole numbers'),
        ('--network=C', '<A|B>'),
        ('--seed=-1', 'range'),
        ('--epsilon=nan', 'finite'),
        ('--validation_epsilon=-1', 'non-negative'),
        ('--weight_averaging=1', 'below 1'),
        ('--momentum=1.5', 'range'),
        ('--steps=99999999999', 'range'),
    ],
)
def test_values_out_of_bounds_are_refused(run, argument, words):
    config, status, _, err = run(argument)
    assert config is None and status == 1 and words in err and argument in err


def test_another_schedule_needs_no_word_about_the_recipes(run):
    assert run('--recipe=fast', '--schedule=constant')[0].learning_rate_warmup == 0
    given = run('--schedule=constant', '--learning_rate_warmup=3')[0]
    assert given.learning_rate_warmup == 3  # which `check` refuses
    assert 'recipe' not in flags.FLAGS  # nothing stays behind
