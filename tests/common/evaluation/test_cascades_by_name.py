"""The cascades by name."""

import keras
import numpy as np
import pytest

from common.attacks import APGD, FAB, MultiTargeted, Square
from common.data.batches import Examples
from common.evaluation.accuracy import Judge
from common.evaluation.cascade import adversarial_accuracy, worst_case
from common.evaluation.cascades_by_name import PRESETS, preset
from common.evaluation.crafting import Crafting
from common.losses import DLRTo, LogOdds, MarginTo
from common.threat_model import L2Ball, LinfBall

BALL = LinfBall(0.1)


def stages(name, classes=10, others=()):
    return preset(name, BALL, steps=7, step_size=0.02, num_classes=classes, others=others)


@pytest.mark.parametrize('name', PRESETS)
def test_each_begins_with_plain_pgd_and_the_images_themselves(name):
    first, second, *_ = stages(name)
    assert repr(first.attack) == (
        'PGD(ball=LinfBall(epsilon=0.1, lower=0.0, upper=1.0), steps=7, step_size=0.02, '
        'loss=CrossEntropy(targeted=False), random_start=True)'
    )
    assert first.restarts == 1 and second.attack.gradients == 0


@pytest.mark.parametrize('name', ['standard', 'leaderboard'])
def test_they_hold_autoattacks_standard_budget(name):
    attacks = [stage.attack for stage in stages(name)]
    assert APGD(BALL, 100, LogOdds()) in attacks

    def classes(kind):
        return {
            i
            for a in attacks
            if isinstance(a, MultiTargeted) and isinstance(a.attack, kind)
            for i in range(a.first, a.first + a.targets)
        }

    assert classes(APGD) == classes(FAB) == set(range(9))
    assert all(a.attack.steps >= 100 for a in attacks if isinstance(a, MultiTargeted))
    assert all(
        a.attack.loss == DLRTo()
        for a in attacks
        if isinstance(a, MultiTargeted) and isinstance(a.attack, APGD)
    )
    assert max(a.queries for a in attacks if isinstance(a, Square)) >= 5000


@pytest.mark.parametrize(
    'name, tried', [('quick', []), ('standard', ['C', 'D']), ('leaderboard', ['C', 'D'])]
)
def test_networks_whose_examples_are_tried_as_well(name, tried):
    first, *later = stages(name, others=('C', 'D'))
    assert [stage.source for stage in later if stage.source] == tried
    assert all(stage.attack == first.attack for stage in later if stage.source)


def test_each_spends_more_than_the_one_before():
    spent = [sum(s.attack.gradients * s.restarts for s in stages(name)) for name in PRESETS]
    assert spent == sorted(spent) and len(set(spent)) == 3


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'slow'.*quick, standard, leaderboard"):
        stages('slow')


@pytest.mark.parametrize('name', PRESETS)
@pytest.mark.parametrize('classes', [12, 1000])
def test_more_classes_than_ten_cost_no_more(name, classes):
    assert stages(name, classes) == stages(name, 10)


@pytest.mark.parametrize(
    'classes, names',
    [
        (2, ['apgd_t, class 1']),
        (3, ['apgd_t, class 1', 'apgd_t, classes 2 to 2']),
        (4, ['apgd_t, class 1', 'apgd_t, classes 2 to 3']),
    ],
)
def test_networks_of_few_classes(classes, names):
    later = [s for s in stages('standard', classes) if s.name.startswith('apgd_t')]
    assert [stage.name for stage in later] == names
    # The targeted DLR loss is a ratio of four logits.
    losses = {type(stage.attack.attack.loss) for stage in later}
    assert losses == ({DLRTo} if classes >= 4 else {MarginTo})


@pytest.mark.parametrize('classes', [pytest.param(2, marks=pytest.mark.slow), 4])
def test_quick_runs_and_leaves_no_more_than_pgd(classes):
    init = [keras.initializers.RandomNormal(stddev=0.8, seed=i) for i in (1, 2)]
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation='tanh', kernel_initializer=init[0]),
            keras.layers.Dense(classes, kernel_initializer=init[1]),
        ]
    )
    x = np.random.default_rng(0).uniform(0, 1, (30, 4, 4, 1)).astype(np.float32)
    examples = Examples(x, np.argmax(network(x), axis=1).astype(np.int32), 'x')
    cascade = stages('quick', classes)
    found = worst_case(cascade, network, Judge(network), examples, crafting=Crafting(16))
    alone = adversarial_accuracy(
        cascade[0].attack, network, network, examples, crafting=Crafting(16)
    )
    assert found.accuracy < alone.accuracy and (found.survived <= alone.correct).all()


@pytest.mark.parametrize('name', PRESETS)
def test_in_l2_they_do_without_the_attacks_that_know_linf_only(name):
    found = preset(name, L2Ball(0.5), steps=7, step_size=0.1, num_classes=10)
    names = [stage.name for stage in found]
    expected = [stage.name for stage in stages(name)]
    for only_linf in ('fab_t', 'square', 'multi_targeted'):
        expected = [name for name in expected if not name.startswith(only_linf)]
    assert names == expected and len(names) > 4
