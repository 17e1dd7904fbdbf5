"""Attacks by name: what each name means, and what is refused."""

import re

import pytest

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
from common.attacks.by_name import METHODS, checked_ball, make_attack
from common.errors import UserError
from common.losses import DLR, CrossEntropy, CWMargin, DLRTo, LogOdds, Margin, MarginTo
from common.threat_model import LinfBall

BALL = LinfBall(8, 0, 255)
TOWARDS = CrossEntropy(targeted=True)


def make(method, **settings):
    return make_attack(method, BALL, **{'steps': 20, 'step_size': 2, 'num_classes': 10} | settings)


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
EVERY = pytest.mark.parametrize('name', METHODS)


@EVERY
def test_names_are_the_attacks_of_the_paper(name):
    assert make(name) == EXPECTED[name]


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


@pytest.mark.parametrize(
    'epsilon, lower, upper',
    [
        (0.3, 0, 1),
        (0.499, 0, 1),
        (127, 0, 255),
        # Small, but in units that fit: no perturbation at all, one grey level, ranges about 1.
        (0, 0, 255),
        (1, 0, 255),
        (0.001, 0, 1),
        (0.01, -1, 1),
    ],
)
def test_usual_balls_pass_silently(epsilon, lower, upper, capsys):
    assert checked_ball(epsilon, lower, upper) == LinfBall(epsilon, lower, upper)
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('epsilon, lower, upper', [(0.5, 0, 1), (8, 0, 1), (127.5, 0, 255)])
def test_warns_of_balls_no_classifier_can_withstand(epsilon, lower, upper, capsys):
    assert checked_ball(epsilon, lower, upper) == LinfBall(epsilon, lower, upper)
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'warning: --epsilon={epsilon:g} ') and err.count('\n') == 1


@pytest.mark.parametrize('epsilon', [8 / 255, 0.3, 0.999])
@pytest.mark.parametrize('lower, upper', [(0, 255), (-128, 127)])
def test_warns_of_a_radius_meant_for_pixels_from_0_to_1(epsilon, lower, upper, capsys):
    assert checked_ball(epsilon, lower, upper) == LinfBall(epsilon, lower, upper)
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'warning: --epsilon={epsilon:g} ') and err.count('\n') == 1
    assert f'pixels are {lower} to {upper}' in err
    assert '8/255 = 0.031 there is --epsilon=8.' in err


@pytest.mark.parametrize(
    'reach, warns',
    [(0.1, True), (0.29, True), (0.3, False), (10 * 0.03, False), (0.4, False), (0.0, False)],
)
def test_warns_of_steps_that_cannot_cross_the_ball(reach, warns, capsys):
    assert checked_ball(0.3, 0, 1, reach) == LinfBall(0.3, 0, 1)
    out, err = capsys.readouterr()
    assert not out
    assert (err.count('\n'), err.startswith('warning: --steps times --step_size is ')) == (
        (1, True) if warns else (0, False)
    )
