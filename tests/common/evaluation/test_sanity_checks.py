"""Each check on a network built to fail it, and all checks on a network that passes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, Restarts, Square
from common.data.batches import Examples
from common.evaluation import sanity_checks
from common.evaluation.crafting import Crafting
from common.evaluation.sanity_checks import Suspect
from common.evaluation.verdict import SURVIVES, Stage, Verdict
from common.threat_model import LinfBall

RNG = np.random.default_rng(0)
V, W = (tf.constant(RNG.standard_normal(shape), tf.float32) for shape in ((16, 12), (12, 4)))
BALL = LinfBall(0.05)


def plain(x):
    return tf.tanh((tf.reshape(x, [-1, 16]) * 2 - 1) @ V) @ W


def noisy(x):
    return plain(x) + tf.random.normal([tf.shape(x)[0], 4])


def softmax(x):
    return tf.nn.softmax(plain(x))


def quantized(x):
    """The pixels are rounded, and rounding has no gradient."""
    return plain(tf.round(x * 16) / 16)


@tf.custom_gradient
def _misleading(z):
    return z, lambda upstream: -upstream


def backwards(x):
    """Gradients that point the wrong way."""
    return _misleading(plain(x))


X = RNG.uniform(0, 1, (80, 4, 4, 1)).astype(np.float32)
EXAMPLES = Examples(X, np.argmax(plain(X), axis=1).astype(np.int32), 'x')


def suspect(network, **pgd):
    return Suspect(
        network,
        PGD(**{'ball': BALL, 'steps': 10, 'step_size': 0.0125, **pgd}),
        EXAMPLES,
        Crafting(40),
    )


def found(network, **pgd):
    return {
        check.name: check
        for check in sanity_checks.checks(
            suspect(network, **pgd), queries=100, sources=[('plain', plain)]
        )
    }


@pytest.fixture(scope='module')
def of_plain():
    return found(plain)


def test_a_network_that_hides_nothing_passes_all(of_plain):
    assert list(of_plain) == [
        'randomized outputs',
        'softmax outputs',
        'vanishing gradients',
        'more steps',
        'more restarts',
        'score-based attack',
        'transfer from plain',
        'large epsilon',
    ]
    assert [str(check) for check in of_plain.values() if not check.passed] == []
    assert all(str(check).startswith('ok') for check in of_plain.values())


def test_outputs_that_are_random_or_probabilities():
    for check, network in (
        (sanity_checks.randomized_outputs, noisy),
        (sanity_checks.softmax_outputs, softmax),
    ):
        assert not check(suspect(network)).passed and check(suspect(plain)).passed


@pytest.mark.parametrize(
    'network, tripped',
    [
        (
            quantized,
            {'vanishing gradients', 'score-based attack', 'transfer from plain', 'large epsilon'},
        ),
        (backwards, {'score-based attack', 'transfer from plain'}),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_networks_built_to_trip_checks(network, tripped):
    warned = {name for name, check in found(network).items() if not check.passed}
    assert tripped <= warned
    assert not warned & {'randomized outputs', 'softmax outputs'}


def hurdles(x):
    """Flat except for steep steps: gradients help only if a random start lies on a step."""
    return plain(x + 0.02 * tf.sin(400 * x))


def test_images_that_a_cascade_has_left_and_a_check_breaks():
    weak = suspect(backwards)
    survived = np.arange(80) % 2 == 0  # as if a cascade had broken every other one
    left = weak.survivors(Square(BALL, 100)) & weak.survivors(weak.pgd)
    check = sanity_checks.beyond(weak, survived)
    assert 5 < np.sum(survived & ~left) < np.sum(~left) and not check.passed
    assert check.words.startswith('of 40 images that the cascade leaves')
    assert check.words.endswith(f'breaks {np.sum(survived & ~left)}')
    one = np.arange(80) == np.flatnonzero(~left)[0]
    assert sanity_checks.beyond(weak, one).words.startswith('of 1 image that')
    assert sanity_checks.beyond(weak, left).passed


def test_what_breaks_at_another_radius_is_not_beyond_the_cascade():
    honest = suspect(plain)
    honest.survivors(honest.pgd)
    assert sanity_checks.large_radius(honest).passed  # all break there
    assert sanity_checks.beyond(honest, honest.tried[0]).passed


def test_an_attack_that_has_not_converged():
    slow = suspect(plain, steps=2, step_size=0.01, random_start=False)
    longer = dataclasses.replace(slow.pgd, steps=8)
    check = sanity_checks.more_effort(slow, slow.survivors(slow.pgd), longer, 'steps')
    assert not check.passed and str(check).startswith('WARNING more steps')


def test_a_network_on_which_steps_go_on_helping():
    def detour(x):
        """The second pixel's gradient reverses when the first pixel reaches the border."""
        first, second = x[:, 0, 0, 0] - 0.5, x[:, 0, 1, 0] - 0.5
        arrived = tf.stop_gradient(first > 0.04)
        margin = 0.03 - 0.01 * first - tf.where(arrived, 1.0, -0.1) * second
        return tf.stack([margin, tf.zeros_like(margin)], axis=1)

    gray = Examples(np.full((80, 4, 4, 1), 0.5, np.float32), np.zeros(80, np.int32), 'gray')
    steps = {}
    for count in (10, 40):  # steps of an eighth of the way through the ball and back
        lost = dataclasses.replace(suspect(detour, steps=count), examples=gray)
        longer = dataclasses.replace(lost.pgd, steps=4 * count)
        steps[count] = sanity_checks.more_effort(
            lost, lost.survivors(lost.pgd), longer, 'steps'
        ).passed
    assert steps == {10: False, 40: True}


def test_all_checks_of_a_cascade():
    found = list(sanity_checks.checks(suspect(plain), queries=20, survived=np.ones(80, bool)))
    assert [check.name for check in found[-2:]] == ['beyond the cascade', 'large epsilon']
    assert not found[-2].passed  # PGD breaks some of those that are said to survive


def test_a_network_on_which_restarts_go_on_helping():
    rough = suspect(hurdles, steps=3, step_size=0.02)
    before = rough.survivors(rough.pgd)
    check = sanity_checks.more_effort(rough, before, Restarts(rough.pgd, 8), 'restarts')
    assert not check.passed and 'more restarts' in str(check)


@pytest.mark.parametrize(
    'lost, won, less',
    [(0, 0, False), (4, 0, False), (5, 0, True), (3, 1, False), (30, 25, False), (50, 20, True)],
)
def test_what_is_markedly_less(lost, won, less):
    before = np.arange(200) < 100
    left = before.copy()
    left[:lost] = False
    left[100 : 100 + won] = True
    assert sanity_checks._markedly_less(left, before) is less


def test_what_it_tells_is_what_was_measured():
    def half_flat(x):
        """Has no gradient in images that are brighter than most."""
        bright = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True) > 0.5
        return plain(tf.where(bright, tf.stop_gradient(x), x))

    share = np.mean(X.mean(axis=(1, 2, 3)) > 0.5)
    check = sanity_checks.vanishing_gradients(suspect(half_flat))
    assert not check.passed and f'{share:.1%} of the images' in check.words
    few = dataclasses.replace(suspect(plain), examples=EXAMPLES.subset(slice(7)))
    assert sanity_checks.vanishing_gradients(few).passed
    assert '0.0% of the images' in sanity_checks.vanishing_gradients(few).words


def test_gradients_of_a_single_pixel_are_as_good_as_none():
    def blinkered(x):
        seen = np.zeros(x.shape[1:], np.float32)
        seen[0, 0] = 1
        return plain(seen * x + (1 - seen) * tf.stop_gradient(x))

    check = sanity_checks.vanishing_gradients(suspect(blinkered))
    assert not check.passed and '0.0% of the images have gradients of exactly 0' in check.words


def verdict(broken_by, restart):
    ball = LinfBall(0.1)
    stages = (
        Stage('pgd', PGD(ball, 3, 0.05)),
        Stage('odi', PGD(ball, 3, 0.05), restarts=4),
        Stage('square', Square(ball, 10), queries=10),
    )
    nothing = np.zeros(len(broken_by))
    return Verdict(
        stages, np.array(broken_by), np.array(restart), nothing, nothing, seconds=np.zeros(3)
    )


@pytest.mark.parametrize(
    'broken_by, restart, tripped',
    [
        ([0, 1, 1, SURVIVES] * 100, [0, 0, 1, 0] * 100, []),
        ([0, 1, 1, SURVIVES] * 100, [0, 0, 3, 0] * 100, ['last restart of odi']),
        ([0, 1, 2, SURVIVES] * 100, [0, 0, 0, 3] * 100, ['without gradients']),
        ([0, 1, SURVIVES, SURVIVES] * 99 + [1, 2, 2, 2], [0, 1, 0, 0] * 99 + [3, 0, 0, 0], []),
    ],
)
def test_a_cascade_that_has_not_come_to_its_end(broken_by, restart, tripped):
    found = list(sanity_checks.cascade_checks(verdict(broken_by, restart)))
    assert [check.name for check in found] == ['last restart of odi', 'without gradients']
    assert [check.name for check in found if not check.passed] == tripped
