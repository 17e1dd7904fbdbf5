"""Attacks by name: what each name means, and which ones are refused."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import (
    APGD,
    FAB,
    ODI,
    PGD,
    Adam,
    Ascent,
    Chained,
    MultiTargeted,
    RandomTarget,
    Restarts,
    Square,
    TargetedEach,
)
from common.attacks.by_name import METHODS, make_attack
from common.errors import UserError
from common.losses import DLR, CrossEntropy, CWMargin, DLRTo, LogOdds, Margin, MarginTo
from common.threat_model import L2Ball, LinfBall

BALL = LinfBall(8, 0, 255)
TOWARDS = CrossEntropy(targeted=True)


def make(method, ball=BALL, **settings):
    return make_attack(method, ball, **{'steps': 20, 'step_size': 2, 'num_classes': 10} | settings)


EXPECTED = {
    'pgd': PGD(BALL, 20, 2),
    'fgsm': PGD(BALL, 1, 8, random_start=False),
    'fgsm_odds': PGD(BALL, 1, 8, LogOdds(), random_start=False),
    'fgsm_rs': PGD(BALL, 1, 8),
    'targeted': TargetedEach(PGD(BALL, 20, 2, TOWARDS), 10),
    'targeted_random': RandomTarget(PGD(BALL, 20, 2, TOWARDS), 10),
    'cw': PGD(BALL, 20, 2, CWMargin(kappa=0)),
    'cw+': PGD(BALL, 20, 2, CWMargin(kappa=50)),
    'momentum': Ascent(BALL, 20, 2, loss=LogOdds()),
    'adam': Ascent(BALL, 20, 8 / 3, Adam(), Margin(), decays=(0.5, 0.75)),
    'multi_targeted': MultiTargeted(PGD(BALL, 20, 2, MarginTo()), 9),
    'odi': ODI(APGD(BALL, 20, Margin())),
    'apgd': APGD(BALL, 20, LogOdds()),
    'apgd_dlr': APGD(BALL, 20, DLR()),
    'apgd_t': MultiTargeted(APGD(BALL, 20, DLRTo()), 9),
    'fab_t': MultiTargeted(FAB(BALL, 20), 9),
    'square': Square(BALL, 20),
    'square_apgd': Chained(Square(BALL, 300), APGD(BALL, 20, Margin())),
}
LINF_ONLY = {'adam', 'fab_t', 'square', 'square_apgd'}
EVERY = pytest.mark.parametrize('name', METHODS)


@EVERY
def test_names_are_the_attacks_of_the_paper(name):
    assert make(name) == EXPECTED[name]


@pytest.mark.parametrize('classes, targets', [(2, 1), (7, 6), (10, 9), (12, 9), (1000, 9)])
def test_attacks_on_one_class_after_the_other_try_nine_at_most(classes, targets):
    for name, attack in EXPECTED.items():
        if isinstance(attack, MultiTargeted):
            expected = dataclasses.replace(attack, targets=targets)
            assert make(name, num_classes=classes) == expected
    # The row of the paper's table is read as all classes.
    assert make('targeted', num_classes=classes).gradients == 20 * (classes - 1)


def test_of_a_thousand_classes_the_likeliest_wrong_ones_are_tried():
    rng, tried = np.random.default_rng(0), []
    weights = tf.constant(rng.normal(size=(6, 1000)), tf.float32)
    x, y = tf.constant(rng.random((3, 6)), tf.float32), tf.constant([0, 1, 2])

    @dataclasses.dataclass(frozen=True)
    class Towards:
        loss: MarginTo = MarginTo()
        gradients: int = 1

        def perturb(self, logits_fn, x, y, *, seed):
            tf.py_function(lambda t: tried.append(t.numpy()), [self.loss.target], [])
            return x

    attack = dataclasses.replace(make('apgd_t', num_classes=1000), attack=Towards())
    attack.perturb(lambda x: x @ weights, x, y, seed=tf.constant([0, 0]))
    logits = (x @ weights).numpy()
    logits[np.arange(3), y] = -np.inf
    np.testing.assert_array_equal(np.transpose(tried), np.argsort(-logits, axis=1)[:, :9])


@EVERY
def test_l2_makes_the_same_attack_unless_that_knows_the_linf_ball_only(name):
    ball = L2Ball(BALL.epsilon, BALL.lower, BALL.upper)
    if name in LINF_ONLY:
        with pytest.raises(ValueError, match=r'\w+ supports LinfBall only; found L2Ball'):
            make(name, ball)
    else:
        assert repr(make(name, ball)) == repr(make(name)).replace('LinfBall', 'L2Ball')


@EVERY
def test_words_fit_into_a_help_text(name):
    assert METHODS[name].words and '\n' not in METHODS[name].words


@EVERY
@pytest.mark.parametrize('setting', [{'steps': 21}, {'step_size': 3}, {'random_start': False}])
def test_a_setting_makes_another_attack_unless_the_method_ignores_it(name, setting):
    same = make(name, **setting) == make(name)
    assert same == (next(iter(setting)) in METHODS[name].ignores)


@EVERY
@pytest.mark.parametrize('random_start', [True, False])
def test_restarts_wrap_the_attack_unless_all_would_be_alike(name, random_start):
    method, settings = METHODS[name], {'random_start': random_start}
    if method.random == 'always' or (method.random == 'with a random start' and random_start):
        assert make(name, restarts=20, **settings) == Restarts(make(name, **settings), 20)
    else:
        with pytest.raises(UserError, match=r'expected --restarts=1 .* found 20') as caught:
            make(name, restarts=20, **settings)
        assert '\n' not in str(caught.value)


def test_which_methods_are_random():
    assert {name for name, method in METHODS.items() if method.random == 'never'} == {
        'fgsm',
        'fgsm_odds',
        'fab_t',
    }
    assert {name for name, method in METHODS.items() if method.random == 'always'} == {
        'fgsm_rs',
        'targeted_random',
        'odi',
        'square',
        'square_apgd',
    }


@EVERY
def test_no_steps_are_refused_where_a_method_needs_one(name):
    if METHODS[name].least_steps == 0:
        make(name, steps=0)
    else:
        with pytest.raises(UserError, match=rf'at least 1 for --method={re.escape(name)}; found 0'):
            make(name, steps=0)


@pytest.mark.parametrize('restarts, random_start', [(1, True), (20, False)])
def test_refuses_unknown_methods(restarts, random_start):
    with pytest.raises(ValueError, match="unknown method 'cw-'; expected one of: pgd, fgsm"):
        make('cw-', restarts=restarts, random_start=random_start)
