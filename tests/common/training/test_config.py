"""One value for all settings of a training: what derives from it, and what does not go together."""

import dataclasses
import json

import pytest

from common.errors import UserError
from common.threat_model import LinfBall
from common.training.adversaries import ADVERSARIES
from common.training.config import TrainingConfig
from common.training.objectives import OBJECTIVES
from common.training.optimizers import OPTIMIZERS, training_optimizer
from common.training.schedules import SCHEDULES, learning_rate
from common.training.setting import Subject
from common.training.settings import settings_of

CONFIG = TrainingConfig(
    dataset='x',
    seed=1,
    epsilon=0.2,
    steps=3,
    step_size=0.1,
    train_steps=100,
    learning_rate=0.1,
    optimizer='adam',
    batch_size=8,
    log_every=10,
    checkpoint_every=10,
)


def config(**changes):
    return dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(
    'changes, rates',
    [
        ({}, {0: 0.1, 99: 0.1}),
        (
            {'schedule': 'piecewise', 'boundaries': (40, 60)},
            {0: 0.1, 40: 0.1, 41: 0.01, 60: 0.01, 61: 0.001, 99: 0.001},
        ),
        (
            {'schedule': 'cosine', 'learning_rate_warmup': 20},
            {0: 0.005, 19: 0.1, 20: 0.1, 60: 0.05, 100: 0},
        ),
    ],
)
def test_learning_rates(changes, rates):
    settings = settings_of(config(**changes), LinfBall)
    for step, rate in rates.items():
        assert settings.learning_rate(step) == pytest.approx(rate, abs=1e-12)


def test_epsilon_warmup():
    factor = settings_of(config(epsilon_warmup=4), LinfBall).epsilon_factor
    assert [factor(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


@pytest.mark.parametrize('boundaries', [(40, 30), (40, 40)])
def test_boundaries_that_do_not_increase(boundaries):
    with pytest.raises(UserError, match='--boundaries: expected increasing whole numbers') as error:
        config(schedule='piecewise', boundaries=boundaries).check()
    assert repr(','.join(map(str, boundaries))) in str(error.value)


def test_a_piecewise_schedule_needs_boundaries():
    with pytest.raises(UserError, match='--boundaries: expected at least one step'):
        config(schedule='piecewise').check()


UNUSED = {'boundaries': (5,), 'learning_rate_warmup': 5, 'momentum': 0.5}


@pytest.mark.parametrize('name', UNUSED)
def test_a_setting_that_would_be_ignored_is_refused_or_dropped(name):
    changed = config(**{name: UNUSED[name]})
    with pytest.raises(UserError, match=f'--{name}: expected --(schedule|optimizer)='):
        changed.check()
    changed.settled().check()
    assert changed.settled() == CONFIG and changed.settled({name}) == changed


def test_trades_cannot_have_every_adversary():
    config(objective='trades').check()
    with pytest.raises(UserError, match='--adversary: expected pgd or fgsm_rs'):
        config(objective='trades', adversary='none').check()


def test_what_an_objective_prefers_yields_to_what_is_given():
    trades = config(objective='trades', crafting='train')
    assert trades.settled().crafting == 'eval'
    assert trades.settled({'crafting'}).crafting == 'train'


@pytest.mark.parametrize('objective', OBJECTIVES)
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_name_makes_something(objective, schedule):
    boundaries = (40, 60) if schedule == 'piecewise' else ()
    made = config(objective=objective, schedule=schedule, boundaries=boundaries)
    made.check()
    assert learning_rate(made)(0) > 0


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_every_optimizer_can_be_made(optimizer):
    assert training_optimizer(config(optimizer=optimizer))


@pytest.mark.parametrize(
    'adversary, reach', [('pgd', 0.3), ('fgsm', 0.2), ('fgsm_rs', 0.2), ('none', float('inf'))]
)
def test_reach(adversary, reach):
    assert set(ADVERSARIES) == {'pgd', 'fgsm', 'fgsm_rs', 'none'}
    assert config(adversary=adversary).reach == pytest.approx(reach)


def test_what_a_network_is_called_after():
    assert config().kind == 'pgd' and config(adversary='none').kind == 'none'
    assert config(objective='trades').kind == 'trades'


def test_json_and_back():
    original = config(schedule='piecewise', boundaries=(2, 3), init_from='A')
    contents = json.loads(json.dumps(original.to_json()))
    assert list(contents) == sorted(contents)
    assert CONFIG.updated(contents) == original
    assert CONFIG.updated({'boundaries': ['2', '3']}).boundaries == (2, 3)
    with pytest.raises(ValueError, match='unknown settings: one, two'):
        CONFIG.updated({**contents, 'two': 2, 'one': 1})


def test_every_setting_says_what_it_is():
    for field in dataclasses.fields(TrainingConfig):
        words, *choices = field.metadata['words'].splitlines()
        assert words.endswith('.') and all(': ' in line for line in choices), field.name
        assert isinstance(field.metadata['subject'], Subject)
