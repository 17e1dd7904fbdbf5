"""Attacks by name: what each name means, and what is refused."""

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
from common.attacks.by_name import CW_PLUS_KAPPA, METHODS, checked_ball, make_attack
from common.errors import UserError
from common.losses import DLR, CrossEntropy, CWMargin, DLRTo, LogOdds, Margin, MarginTo
from common.threat_model import LinfBall

BALL = LinfBall(8, 0, 255)
TOWARDS = CrossEntropy(targeted=True)


def make(method, **settings):
    return make_attack(method, BALL, **{'steps': 20, 'step_size': 2, 'num_classes': 10} | settings)


@pytest.mark.parametrize(
    'method, expected',
    [
        ('pgd', PGD(BALL, 20, 2)),
        ('fgsm', PGD(BALL, 1, 8, random_start=False)),
        ('fgsm_rs', PGD(BALL, 1, 8)),
        ('targeted', TargetedEach(PGD(BALL, 20, 2, TOWARDS), 10)),
        ('targeted_random', RandomTarget(PGD(BALL, 20, 2, TOWARDS), 10)),
        ('cw', PGD(BALL, 20, 2, CWMargin(kappa=0))),
        ('cw+', PGD(BALL, 20, 2, CWMargin(kappa=50))),
        ('momentum', Ascent(BALL, 20, 2, loss=LogOdds())),
        ('adam', Ascent(BALL, 20, 8 / 3, Adam(), Margin(), decays=(0.5, 0.75))),
        ('multi_targeted', MultiTargeted(PGD(BALL, 20, 2, MarginTo()), 9)),
        ('odi', ODI(APGD(BALL, 20, Margin()))),
        ('apgd', APGD(BALL, 20, LogOdds())),
        ('apgd_dlr', APGD(BALL, 20, DLR())),
        ('apgd_t', MultiTargeted(APGD(BALL, 20, DLRTo()), 9)),
        ('fab_t', MultiTargeted(FAB(BALL, 20), 9)),
        ('square', Square(BALL, 20)),
        ('square_apgd', Chained(Square(BALL, 300), APGD(BALL, 20, Margin()))),
    ],
)
def test_methods_are_the_attacks_of_the_paper(method, expected):
    assert make(method) == expected


def test_every_method_has_a_maker_and_a_description():
    for method, description in METHODS.items():
        assert make(method) is not None
        assert description and '\n' not in description
    assert CW_PLUS_KAPPA == 50


def test_random_start_concerns_pgd_but_not_the_one_step_methods():
    assert make('pgd', random_start=False) == PGD(BALL, 20, 2, random_start=False)
    assert make('targeted', random_start=False).attack == PGD(BALL, 20, 2, TOWARDS, False)
    assert make('fgsm', random_start=True) == make('fgsm')
    assert make('fgsm_rs', random_start=False) == make('fgsm_rs')


@pytest.mark.parametrize('method', ['pgd', 'fgsm_rs', 'targeted', 'targeted_random', 'cw', 'cw+'])
def test_restarts_wrap_the_attack(method):
    assert make(method, restarts=20) == Restarts(make(method), 20)


@pytest.mark.parametrize(
    'method, random_start',
    [
        ('fgsm', True),
        ('fgsm', False),
        ('fab_t', True),
        ('pgd', False),
        ('targeted', False),
        ('cw', False),
    ],
)
def test_refuses_restarts_that_would_all_be_alike(method, random_start):
    with pytest.raises(UserError, match=r'expected --restarts=1 .* found 20') as caught:
        make(method, restarts=20, random_start=random_start)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'method', ['momentum', 'adam', 'apgd', 'apgd_t', 'fab_t', 'square', 'square_apgd']
)
def test_methods_that_have_to_make_a_step(method):
    with pytest.raises(UserError, match=f'--steps of at least 1 for --method={method}; found 0'):
        make(method, steps=0)


def test_random_targets_are_randomness_enough_for_restarts():
    attack = make('targeted_random', restarts=20, random_start=False)
    assert attack == Restarts(make('targeted_random', random_start=False), 20)


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
