"""Attacks: invariants of all of them, known optima, and the challenge's algorithm, step by step."""

import dataclasses

import keras
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
    CompiledAttack,
    Momentum,
    MultiTargeted,
    RandomTarget,
    Restarts,
    TargetedEach,
    by_name,
    fgsm,
)
from common.attacks.by_name import METHODS, make_attack
from common.attacks.precision import judged
from common.attacks.restarts import worst_of
from common.losses import CrossEntropy, CWMargin, LogOdds, Margin, true_margin
from common.networks.logits import ModelLogits, Snapshot
from common.threat_model import L2Ball, LinfBall

UNIT = LinfBall(0.3)
BYTE = LinfBall(8, 0, 255)
SHAPE = (4, 4, 1)
PIXELS, HIDDEN, CLASSES = 16, 12, 5
SEED = tf.constant([1, 2])


class TinyNet:
    """tanh(x V + b) W for NumPy in float64 and for TensorFlow; counts its calls in Python.

    It has no ReLU: without kinks, and where the gradient is not 0, rounding cannot flip its sign.
    """

    def __init__(self, ball=UNIT, seed=0):
        rng = np.random.default_rng(seed)
        self.scale = ball.upper - ball.lower
        self.v = rng.standard_normal((PIXELS, HIDDEN)).astype(np.float32)
        self.b = rng.standard_normal(HIDDEN).astype(np.float32) - self.v.sum(axis=0) / 2
        self.w = rng.standard_normal((HIDDEN, CLASSES)).astype(np.float32)
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        flat = tf.reshape(x, [-1, PIXELS]) / self.scale
        return tf.tanh(flat @ self.v + self.b) @ self.w

    def input_gradient(self, x, y, slope):
        """d loss / d x in float64, where `slope` is d loss / d logits."""
        hidden = np.tanh(x.reshape(-1, PIXELS).astype(np.float64) / self.scale @ self.v + self.b)
        back = slope(hidden @ self.w.astype(np.float64), y) @ self.w.T * (1 - hidden**2)
        return (back @ self.v.T).reshape(x.shape) / self.scale


class LinearNet:
    """Two classes whose logits are -w.x and w.x plus a bias: away from class 0 is along sign(w)."""

    def __init__(self, w, scale=1.0, bias=0.0):
        self.w, self.scale, self.bias = np.float32(w).reshape(-1, 1), scale, bias

    def __call__(self, x):
        score = tf.reshape(x, [-1, len(self.w)]) / self.scale @ self.w
        return tf.concat([self.bias - score, score], axis=1)


def natural(ball, n=8, seed=3):
    x = np.random.default_rng(seed).uniform(ball.lower, ball.upper, (n, *SHAPE))
    x[0, 0], x[1, 0] = ball.lower, ball.upper
    return tf.constant(x, tf.float32)


def labels(n=8):
    return tf.constant(np.arange(n) % CLASSES, tf.int32)


def in_ball(ball, steps=3, part=10, **settings):
    """PGD that cannot cross the ball, so that its start matters."""
    return PGD(ball, steps, ball.epsilon / part, **settings)


def named(name):
    return lambda ball: make_attack(
        name, ball, steps=3, step_size=ball.epsilon / 10, num_classes=CLASSES
    )


# Every method of the command line is added automatically; other settings and compositions have one
# line each. The flag says whether the seed makes a difference.
ATTACKS = {name: (named(name), method.random != 'never') for name, method in METHODS.items()} | {
    'pgd without random start': (lambda ball: in_ball(ball, random_start=False), False),
    'pgd of 25 steps': (lambda ball: in_ball(ball, steps=25, part=30), True),
    'pgd of 0 steps': (lambda ball: in_ball(ball, steps=0), True),
    'apgd from the image': (lambda ball: APGD(ball, steps=2, random_start=False), False),
    'apgd of one step': (lambda ball: APGD(ball, steps=1, loss=CWMargin()), True),
    'apgd targeted': (
        lambda ball: TargetedEach(
            APGD(ball, 5, CrossEntropy(targeted=True), targeted=True), CLASSES
        ),
        True,
    ),
    'momentum of 25 steps': (
        lambda ball: Ascent(ball, 25, ball.epsilon / 30, random_start=False),
        False,
    ),
    'odi of apgd from the image': (
        lambda ball: ODI(APGD(ball, 2, random_start=False), steps=1),
        True,
    ),
    'fab from a random point': (
        lambda ball: MultiTargeted(FAB(ball, 1, random_start=True), 1),
        True,
    ),
    'restarts of targeted': (
        lambda ball: Restarts(
            TargetedEach(in_ball(ball, loss=CWMargin(targeted=True)), CLASSES), 2
        ),
        True,
    ),
}
L2 = L2Ball(0.9)


def supports(name, ball):
    """Whether it accepts the ball; test_by_name.py says which methods have to."""
    try:
        ATTACKS[name][0](ball)
    except ValueError:
        return False
    return True


def each_in(*balls):
    """Every attack in each of these balls that it supports."""
    return [
        pytest.param((name, ball), id=f'{name}-{type(ball).__name__}-{ball.upper:g}')
        for name in ATTACKS
        for ball in balls
        if isinstance(ball, LinfBall) or supports(name, ball)
    ]


@pytest.fixture(scope='module', autouse=True)
def few_queries():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_name, 'SEARCH_QUERIES', 5)
        yield


@dataclasses.dataclass
class Runs:
    """One attack, compiled once and run on several batches, for all tests of invariants."""

    name: str
    ball: LinfBall | L2Ball
    randomized: bool
    x: tf.Tensor
    first: np.ndarray
    again: np.ndarray
    other_seed: np.ndarray
    short: np.ndarray
    calls_to_trace: int
    calls_in_all: int
    eager: np.ndarray
    gradients: int
    gradients_spent: int


@pytest.fixture(scope='module', params=each_in(BYTE, L2))
def runs(request):
    name, ball = request.param
    make, randomized = ATTACKS[name]
    net = TinyNet(ball)
    x, y = natural(ball), labels()
    attack, spent = make(ball), []
    compiled = CompiledAttack(attack, net)
    first = compiled(x, y, seed=SEED).numpy()
    calls_to_trace = net.calls
    again = compiled(x, y, seed=SEED).numpy()
    other_seed = compiled(x, y, seed=[1, 3]).numpy()
    short = compiled(x[:3], y[:3], seed=SEED).numpy()
    calls_in_all = net.calls

    @tf.custom_gradient
    def counting(x):
        return tf.identity(x), lambda upstream: spent.append(1) or upstream

    eager = attack.perturb(lambda x: net(counting(x)), x, y, seed=SEED).numpy()
    return Runs(
        name,
        ball,
        randomized,
        x,
        first,
        again,
        other_seed,
        short,
        calls_to_trace,
        calls_in_all,
        eager,
        attack.gradients,
        len(spent),
    )


def require_within(ball, x_adv, x):
    """Results are finite, exactly in the pixel range, and in the ball up to rounding."""
    assert x_adv.shape == x.shape and x_adv.dtype == np.float32
    assert np.isfinite(x_adv).all()
    assert x_adv.min() >= ball.lower and x_adv.max() <= ball.upper
    # In l-inf, x - epsilon and x + epsilon are rounded once each; in l2 every pixel is.
    rounding = np.spacing(np.float32(ball.upper)) * (1 if isinstance(ball, LinfBall) else 4)
    distances = ball.distance(tf.cast(x_adv, tf.float64), tf.cast(x, tf.float64))
    assert np.max(distances) <= ball.epsilon + rounding


def test_results_are_images_within_ball_and_range(runs):
    for x_adv in (runs.first, runs.other_seed, runs.short):
        require_within(runs.ball, x_adv, runs.x[: len(x_adv)])


def test_the_same_seed_repeats_every_bit(runs):
    np.testing.assert_array_equal(runs.first, runs.again)


def test_another_seed_makes_other_images_where_there_is_randomness(runs):
    assert np.array_equal(runs.first, runs.other_seed) != runs.randomized


def test_shorter_batches_are_not_traced_again(runs):
    assert runs.calls_to_trace > 0
    assert runs.calls_in_all == runs.calls_to_trace


def test_images_do_not_depend_on_those_after_them(runs):
    if 'square' not in runs.name:  # the places of its squares are drawn for the whole batch
        np.testing.assert_allclose(runs.short, runs.first[:3], rtol=0, atol=1e-5 * runs.ball.upper)


def test_uncompiled_it_does_the_same(runs):
    # Steps in l-inf do not see the rounding of gradients, but those in l2 do.
    rounding = 1e-6 if isinstance(runs.ball, LinfBall) else 1e-5
    np.testing.assert_allclose(runs.eager, runs.first, rtol=0, atol=rounding * runs.ball.upper)


def test_it_spends_the_gradients_that_it_counts(runs):
    assert runs.gradients_spent == runs.gradients


@pytest.mark.parametrize('case', each_in(UNIT, L2))
def test_radius_zero_returns_the_images(case):
    name, ball = case[0], case[1].scaled(0)
    attack, x = ATTACKS[name][0](ball), natural(ball)
    np.testing.assert_array_equal(attack.perturb(TinyNet(ball), x, labels(), seed=SEED), x)


@pytest.mark.parametrize('case', each_in(UNIT, L2))
def test_a_network_without_gradients_is_no_error(case):
    name, ball = case
    net, x = TinyNet(ball), natural(ball)
    step = ball.upper / 8
    x_adv = ATTACKS[name][0](ball).perturb(
        lambda x: net(tf.round(x / step) * step), x, labels(), seed=SEED
    )
    require_within(ball, x_adv.numpy(), x)


@pytest.fixture(scope='module')
def network():
    keras.utils.set_random_seed(0)
    dense = [keras.layers.Dense(HIDDEN, 'tanh'), keras.layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *dense])


@pytest.mark.parametrize(
    'name, ball', [*((name, UNIT) for name in METHODS), ('pgd', L2), ('momentum', L2), ('odi', L2)]
)
def test_in_lower_precision_results_are_float32_images_of_the_ball(name, ball, network):
    rough, x = ModelLogits(network, 'bfloat16').snapshot(), natural(ball)
    require_within(ball, ATTACKS[name][0](ball)(rough, x, labels(), seed=SEED).numpy(), x)


class AwayFromTheBoundary:
    """A loss against the adversary's aim, so that the greatest one is not what fools."""

    def __call__(self, logits, y):
        return true_margin(logits, y)


@pytest.mark.parametrize(
    'attack',
    [
        Ascent(UNIT, 20, 0.1, loss=AwayFromTheBoundary()),
        Ascent(UNIT, 20, 0.1, Adam(), AwayFromTheBoundary()),
        APGD(UNIT, 20, AwayFromTheBoundary()),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_what_fools_counts_before_the_greatest_loss(attack):
    net, x = TinyNet(), natural(UNIT)
    start = UNIT.sample(x, SEED)
    y = (tf.argmax(net(start), axis=1, output_type=tf.int32) + 1) % CLASSES  # fooled at the start
    end = PGD(UNIT, 20, 0.1, AwayFromTheBoundary()).perturb(net, x, y, seed=SEED)
    assert (true_margin(net(end), y).numpy() > 0).any()  # and no longer where the loss leads
    assert (true_margin(net(attack.perturb(net, x, y, seed=SEED)), y).numpy() < 0).all()


def test_a_margin_within_rounding_fools_nobody():
    logits = tf.constant([[1.0, 1.001, 0.5], [1.0, 1.5, 0.5], [1.0, 1.01, -8.0]])
    y = tf.zeros(3, tf.int32)

    def network(x):
        return logits

    _, sure = judged(network, CrossEntropy(), None, y, targeted=False)
    np.testing.assert_array_equal(sure, [True, True, True])
    rough = Snapshot(network, exact=lambda x: logits)
    _, fooled = judged(rough, CrossEntropy(), None, y, targeted=False)
    np.testing.assert_array_equal(fooled, [False, True, False])


W = np.random.default_rng(5).choice([-1, 1], PIXELS) * np.linspace(0.2, 2, PIXELS)
BALLS = pytest.mark.parametrize('ball', [UNIT, BYTE], ids=['unit', 'byte'])


def corner(ball, x, sign):
    """clip(x + epsilon * sign) as float32 has it."""
    step = np.float32(ball.epsilon) * sign.reshape(SHAPE).astype(np.float32)
    return np.clip(x.numpy() + step, ball.lower, ball.upper)


# The true class of half of the images is 0, to be left along sign(w), and of the others 1.
BINARY = tf.constant([0, 1] * 4)
AWAY = np.where(BINARY.numpy() == 0, 1, -1).reshape(-1, 1) * np.sign(W)


@BALLS
@pytest.mark.parametrize('loss', [CrossEntropy(), CWMargin(kappa=50)], ids=repr)
@pytest.mark.parametrize('random_start', [False, True])
def test_pgd_reaches_the_optimum_of_a_linear_model(ball, loss, random_start):
    x = natural(ball)
    attack = PGD(ball, steps=12, step_size=ball.epsilon / 5, loss=loss, random_start=random_start)
    x_adv = attack.perturb(LinearNet(W, ball.upper), x, BINARY, seed=SEED)
    expected = np.stack([corner(ball, x[i], AWAY[i]) for i in range(8)])
    np.testing.assert_array_equal(x_adv, expected)


@BALLS
def test_fgsm_reaches_the_optimum_of_a_linear_model_in_its_one_step(ball):
    x = natural(ball)
    x_adv = fgsm(ball).perturb(LinearNet(W, ball.upper), x, BINARY, seed=SEED)
    expected = np.stack([corner(ball, x[i], AWAY[i]) for i in range(8)])
    np.testing.assert_array_equal(x_adv, expected)


@BALLS
@pytest.mark.parametrize('loss', [CrossEntropy(True), CWMargin(50, True)], ids=repr)
def test_targeted_pgd_runs_towards_the_labels_given(ball, loss):
    x = natural(ball)
    attack = PGD(ball, steps=12, step_size=ball.epsilon / 5, loss=loss)
    x_adv = attack.perturb(LinearNet(W, ball.upper), x, 1 - BINARY, seed=SEED)
    expected = np.stack([corner(ball, x[i], AWAY[i]) for i in range(8)])
    np.testing.assert_array_equal(x_adv, expected)


DIRECTION = (AWAY * np.abs(W) / np.linalg.norm(W)).reshape(8, *SHAPE)  # of length 1 in l2


def linear_attacks(ball, random_start):
    """Every gradient attack, with enough steps to cross the ball from any start."""
    size = ball.epsilon
    return {
        'pgd': PGD(ball, 20, size, random_start=random_start),
        'apgd': APGD(ball, 40, LogOdds(), random_start),
        'momentum': Ascent(ball, 20, size, Momentum(0.5), LogOdds(), random_start),
        'odi': ODI(APGD(ball, 40, Margin(), random_start)),
        'chained': Chained(PGD(ball, 3, size / 5), PGD(ball, 20, size)),
        'restarts': Restarts(PGD(ball, 20, size, random_start=random_start), 2),
    }


@pytest.mark.parametrize('name', linear_attacks(UNIT, True))
@pytest.mark.parametrize(
    'ball, random_start', [(L2Ball(0.2), True), (L2Ball(50, 0, 255), False)], ids=['unit', 'byte']
)
def test_in_l2_the_optimum_of_a_linear_model_is_along_its_weights(ball, random_start, name):
    x = ball.upper * tf.random.stateless_uniform([8, *SHAPE], SEED, 0.3, 0.7)
    attack = linear_attacks(ball, random_start)[name]
    x_adv = attack.perturb(LinearNet(W, ball.upper), x, BINARY, seed=SEED)
    expected = x.numpy() + ball.epsilon * DIRECTION
    np.testing.assert_allclose(x_adv, expected, rtol=0, atol=1e-3 * ball.epsilon)


def test_in_l2_fgsm_reaches_it_in_its_one_step():
    ball, x = L2Ball(0.2), tf.random.stateless_uniform([8, *SHAPE], SEED, 0.3, 0.7)
    x_adv = fgsm(ball).perturb(LinearNet(W), x, BINARY, seed=SEED)
    np.testing.assert_allclose(x_adv, x.numpy() + 0.2 * DIRECTION, rtol=0, atol=1e-6)


@pytest.mark.parametrize('name', linear_attacks(UNIT, True))
def test_in_linf_all_reach_the_corner_of_the_ball(name):
    x = natural(UNIT)
    x_adv = linear_attacks(UNIT, True)[name](LinearNet(W), x, BINARY, seed=SEED)
    expected = np.stack([corner(UNIT, x[i], AWAY[i]) for i in range(8)])
    np.testing.assert_allclose(x_adv, expected, rtol=0, atol=1e-6)


def test_in_l2_the_pixel_range_may_shorten_the_way_but_the_loss_still_rises():
    x = natural(L2)  # some pixels are at the ends of the range
    network = LinearNet(W)
    x_adv = PGD(L2, 20, 0.2, random_start=False).perturb(network, x, BINARY, seed=SEED)
    require_within(L2, x_adv.numpy(), x)
    before, after = (true_margin(network(z), BINARY).numpy() for z in (x, x_adv))
    assert (after < before).all()


def test_targeted_each_reaches_the_optimum_of_a_linear_model():
    x = natural(UNIT)
    pgd = PGD(UNIT, steps=12, step_size=0.06, loss=CrossEntropy(targeted=True))
    x_adv = TargetedEach(pgd, 2).perturb(LinearNet(W), x, BINARY, seed=SEED)
    expected = np.stack([corner(UNIT, x[i], AWAY[i]) for i in range(8)])
    np.testing.assert_array_equal(x_adv, expected)


def test_cw_without_confidence_stops_just_past_the_boundary():
    x = tf.fill([1, *SHAPE], 0.5)
    score = float(W.sum() / 2)
    # At the image the margin of class 0 is 1; a step of 0.01 lowers it by 0.02 * sum |w|.
    net = LinearNet(W, bias=1 + 2 * score)
    lowered = 0.02 * np.abs(W).sum()
    attack = PGD(UNIT, 12, 0.01, CWMargin(), random_start=False)
    x_adv = attack.perturb(net, x, tf.constant([0]), seed=SEED)
    margin = float(true_margin(net(x_adv), tf.constant([0]))[0])
    assert -lowered < margin <= 0
    np.testing.assert_array_equal(attack.perturb(net, x_adv, tf.constant([0]), seed=SEED), x_adv)


def test_pixels_without_gradient_stay_where_they_are():
    w = W.copy()
    w[[2, 7, 11]] = 0
    net, x = LinearNet(w), natural(UNIT)
    blind = np.reshape(w == 0, SHAPE)
    still = PGD(UNIT, 5, 0.1, random_start=False).perturb(net, x, BINARY, seed=SEED).numpy()
    np.testing.assert_array_equal(still[:, blind], x.numpy()[:, blind])
    assert (still[:, ~blind] != x.numpy()[:, ~blind]).mean() > 0.9
    started = PGD(UNIT, 5, 0.1).perturb(net, x, BINARY, seed=SEED).numpy()
    np.testing.assert_array_equal(started[:, blind], UNIT.sample(x, SEED).numpy()[:, blind])


def test_no_steps_return_the_starting_point():
    x = natural(UNIT)
    start = PGD(UNIT, 0, 0.1).perturb(TinyNet(), x, labels(), seed=SEED)
    np.testing.assert_array_equal(start, UNIT.sample(x, SEED))
    start = PGD(UNIT, 0, 0.1, random_start=False).perturb(TinyNet(), x, labels(), seed=SEED)
    np.testing.assert_array_equal(start, x)


def xent_slope(z, y):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) - np.eye(CLASSES)[y]


def cw_slope(z, y):
    one_hot = np.eye(CLASSES)[y]
    wrong = np.where(one_hot == 1, -np.inf, z)
    active = (z * one_hot).sum(axis=1) - wrong.max(axis=1) + 50 > 0
    return active[:, None] * (np.eye(CLASSES)[wrong.argmax(axis=1)] - one_hot)


def challenge(net, ball, x_nat, y, start, steps, step_size, slope):
    """The challenge's loop in NumPy, and the smallest gradient met on the way."""
    x, smallest = start.copy(), np.inf
    epsilon = np.float32(ball.epsilon)
    for _ in range(steps):
        gradient = net.input_gradient(x, y, slope)
        smallest = min(smallest, np.abs(gradient).min())
        x += np.float32(step_size) * np.sign(gradient).astype(np.float32)
        x = np.clip(x, x_nat - epsilon, x_nat + epsilon)
        x = np.clip(x, ball.lower, ball.upper)
    return x, smallest


@pytest.mark.parametrize(
    'steps, name, random_start',
    [
        *((steps, 'xent', True) for steps in (7, 10, 19, 20, 25, 40)),
        (7, 'xent', False),
        (25, 'xent', False),
        (7, 'cw+', True),
        (40, 'cw+', True),
    ],
)
def test_pgd_is_the_loop_of_the_challenge(steps, name, random_start):
    loss, slope = {'xent': (CrossEntropy(), xent_slope), 'cw+': (CWMargin(kappa=50), cw_slope)}[
        name
    ]
    net, x, y = TinyNet(seed=1), natural(UNIT), labels()
    attack = PGD(UNIT, steps, 0.01, loss, random_start)
    x_adv = CompiledAttack(attack, net)(x, y, seed=SEED).numpy()
    start = (UNIT.sample(x, SEED) if random_start else x).numpy()
    expected, smallest = challenge(net, UNIT, x.numpy(), y.numpy(), start, steps, 0.01, slope)
    # float32 rounding of a gradient of size 1 stays below this, so every sign is certain ...
    assert smallest > 2e-6
    # ... and every pixel goes through the same float32 operations.
    np.testing.assert_array_equal(x_adv, expected)


def test_pgd_in_byte_units_is_the_loop_of_the_challenge():
    net, x, y = TinyNet(BYTE, seed=1), natural(BYTE), labels()
    x_adv = CompiledAttack(PGD(BYTE, 10, 2), net)(x, y, seed=SEED).numpy()
    start = BYTE.sample(x, SEED).numpy()
    expected, smallest = challenge(net, BYTE, x.numpy(), y.numpy(), start, 10, 2, xent_slope)
    assert smallest > 2e-6 / 255
    np.testing.assert_array_equal(x_adv, expected)


def test_many_steps_are_not_traced_one_by_one():
    traced = []
    for steps in (20, 200):
        net = TinyNet()
        CompiledAttack(PGD(UNIT, steps, 0.01), net)(natural(UNIT), labels(), seed=SEED)
        traced.append(net.calls)
    assert traced[0] == traced[1] <= 20


def test_fgsm_is_one_step_of_pgd():
    assert fgsm(BYTE, CWMargin()) == PGD(BYTE, 1, 8, CWMargin(), random_start=False)
    assert fgsm(BYTE, random_start=True) == PGD(BYTE, 1, 8)


def test_scaled_pgd_has_smaller_radius_and_steps():
    half = PGD(BYTE, 7, 2).scaled(tf.constant(0.5))
    assert (float(half.ball.epsilon), float(half.step_size)) == (4, 1)
    assert (half.steps, half.ball.upper, half.loss) == (7, 255, CrossEntropy())
    x = natural(BYTE)
    x_adv = half.perturb(TinyNet(BYTE), x, labels(), seed=SEED)
    expected = PGD(LinfBall(4, 0, 255), 7, 1).perturb(TinyNet(BYTE), x, labels(), seed=SEED)
    np.testing.assert_array_equal(x_adv, expected)


def test_cw_in_lower_precision_crosses_the_true_boundary():
    """Its gradient is 0 beyond the boundary, where rounding may have put the image."""
    network = TinyNet()

    def rounded(x):
        return tf.cast(tf.cast(network(x), tf.bfloat16), tf.float32)

    def straight_through(x):
        z = network(x)
        return z + tf.stop_gradient(tf.cast(tf.cast(z, tf.bfloat16), tf.float32) - z)

    x = natural(UNIT, 400)
    y = tf.argmax(network(x), axis=1)
    x_adv = PGD(UNIT, 300, 0.0005, CWMargin(), random_start=False)(
        Snapshot(straight_through, exact=network), x, y, seed=SEED
    )
    wrong_when_rounded = true_margin(rounded(x_adv), y).numpy() <= 0
    assert wrong_when_rounded.sum() > 100
    assert (true_margin(network(x_adv), y).numpy()[wrong_when_rounded] < 0).all()


@pytest.mark.parametrize(
    'settings, message',
    [
        ({'steps': -1}, 'steps must be at least 0; found -1'),
        ({'step_size': -0.1}, 'step_size must be finite and at least 0; found -0.1'),
        ({'step_size': float('nan')}, 'step_size must be finite'),
        ({'step_size': float('inf')}, 'step_size must be finite'),
    ],
)
def test_pgd_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        PGD(**{'ball': UNIT, 'steps': 7, 'step_size': 0.01} | settings)


def test_restarts_refuse_to_be_none():
    with pytest.raises(ValueError, match='restarts must be at least 1; found 0'):
        Restarts(PGD(UNIT, 1, 0.1), 0)


def test_one_restart_is_the_attack_itself():
    net, x, y = TinyNet(), natural(UNIT), labels()
    attack = in_ball(UNIT)
    once = Restarts(attack, 1).perturb(net, x, y, seed=SEED)
    np.testing.assert_array_equal(once, attack.perturb(net, x, y, seed=tf.random.fold_in(SEED, 0)))


def test_restarts_keep_the_smallest_margin_of_each_image():
    net, x, y = TinyNet(), natural(UNIT, 40), labels(40)
    attack = in_ball(UNIT)
    runs = np.stack(
        [attack.perturb(net, x, y, seed=tf.random.fold_in(SEED, r)).numpy() for r in range(4)]
    )
    margins = np.stack([true_margin(net(tf.constant(run)), y).numpy() for run in runs])
    winner = margins.argmin(axis=0)
    assert len(set(winner)) == 4  # every run has its images
    kept = Restarts(attack, 4).perturb(net, x, y, seed=SEED)
    np.testing.assert_array_equal(kept, runs[winner, np.arange(40)])


def test_a_nan_in_one_of_several_runs_is_kept():
    # A later run that leaves the image robust must not hide it.
    runs = tf.constant([[-1.0, 0.0], [np.nan, 0.0], [5.0, 0.0]])
    kept = worst_of(lambda i: runs[i][None], 3, tf.identity, runs[:1], tf.zeros(1, tf.int32))
    assert np.isnan(kept.numpy()[0, 0])


@pytest.mark.parametrize('name', ['pgd', 'momentum', 'adam', 'apgd', 'odi', 'fab_t'])
@pytest.mark.parametrize('label', [0, 1])
def test_a_gradient_that_is_nan_is_not_taken_for_robustness(name, label):
    def length(x):
        """A norm, whose gradient is 0/0 where nothing is brighter than a half."""
        bright = tf.nn.relu(tf.reshape(x, [-1, PIXELS]) - 0.5)
        norm = tf.sqrt(tf.reduce_sum(bright**2, axis=1))
        columns = [norm, norm - 1, norm - 2]
        columns.insert(label, 0.5 - norm)  # right where it is dark
        return tf.stack(columns, axis=1)

    attack = make_attack(
        name, UNIT, steps=3, step_size=0.05, restarts=1, random_start=False, num_classes=4
    )
    dark = tf.fill([2, *SHAPE], 0.1)
    x_adv = attack.perturb(length, dark, tf.fill([2], label), seed=SEED)
    fooled = tf.argmax(length(x_adv), axis=1, output_type=tf.int32) != label
    assert np.all(np.isnan(x_adv.numpy()).any(axis=(1, 2, 3)) | fooled.numpy())


def test_numbers_of_numpy_are_as_good_as_pythons():
    ball, net, x = LinfBall(np.float64(0.3)), TinyNet(), natural(UNIT)
    assert ball == UNIT and repr(ball) == repr(UNIT)
    for attack, same in ((APGD(ball, 4), APGD(UNIT, 4)), (ODI(in_ball(ball)), ODI(in_ball(UNIT)))):
        np.testing.assert_array_equal(
            *(a.perturb(net, x, labels(8), seed=SEED) for a in (attack, same))
        )


def test_more_restarts_never_raise_the_margin_of_an_image():
    net, x, y = TinyNet(), natural(UNIT, 40), labels(40)
    margins = [
        true_margin(net(Restarts(in_ball(UNIT), r).perturb(net, x, y, seed=SEED)), y).numpy()
        for r in (1, 2, 3, 6)
    ]
    assert np.all(np.diff(margins, axis=0) <= 0)
    assert np.any(margins[-1] < margins[0])


@dataclasses.dataclass(frozen=True)
class Recorder:
    """Records the labels and seeds that it is given, and returns images that show the labels."""

    log: list
    seeds: list = dataclasses.field(default_factory=list)

    gradients = 1

    def perturb(self, logits_fn, x, y, *, seed):
        self.log.append(y.numpy())
        self.seeds.append(tuple(seed.numpy()))
        return tf.broadcast_to(tf.cast(y, tf.float32)[:, None, None, None], tf.shape(x))


def test_targeted_each_tries_every_wrong_class_and_never_the_true_one():
    recorder, y = Recorder([]), labels(CLASSES)
    TargetedEach(recorder, CLASSES).perturb(TinyNet(), natural(UNIT, CLASSES), y, seed=SEED)
    assert len(set(recorder.seeds)) == CLASSES - 1  # each with its own start
    targets = np.stack(recorder.log)
    assert targets.shape == (CLASSES - 1, CLASSES)
    for i in range(CLASSES):
        assert sorted(targets[:, i]) == sorted(set(range(CLASSES)) - {int(y[i])})


def test_targeted_each_keeps_the_target_that_hurts_most():
    def logits_fn(x):
        # Pixel 0 shows the target t; the network then favours class t by t: class 4 hurts most.
        t = tf.reshape(x, [-1, PIXELS])[:, :1]
        return t * tf.cast(tf.range(CLASSES)[None] == tf.cast(t, tf.int32), tf.float32)

    y = tf.constant([0, 1, 2, 3, 4])
    x_adv = TargetedEach(Recorder([]), CLASSES).perturb(logits_fn, natural(UNIT, 5), y, seed=SEED)
    assert x_adv[:, 0, 0, 0].numpy().tolist() == [4, 4, 4, 4, 3]


@pytest.mark.parametrize('dtype', [tf.int32, tf.int64])
def test_random_targets_are_all_the_wrong_classes_alike(dtype):
    log, n = [], 20_000
    y = tf.cast(labels(n), dtype)
    attack = RandomTarget(Recorder(log), CLASSES)
    attack.perturb(TinyNet(), tf.zeros([n, 1, 1, 1]), y, seed=SEED)
    offset = (log[0] - y.numpy()) % CLASSES
    shares = np.bincount(offset, minlength=CLASSES) / n
    assert shares[0] == 0
    np.testing.assert_allclose(shares[1:], 0.25, rtol=0, atol=5 * np.sqrt(0.1875 / n))


def test_random_targets_follow_the_seed():
    log, y = [], labels(100)
    for seed in ([1, 2], [1, 2], [1, 3]):
        RandomTarget(Recorder(log), CLASSES).perturb(
            TinyNet(), tf.zeros([100, 1, 1, 1]), y, seed=tf.constant(seed)
        )
    np.testing.assert_array_equal(log[0], log[1])
    assert (log[0] != log[2]).any()


def test_printed_they_tell_the_experiment():
    assert repr(Restarts(PGD(UNIT, 40, 0.01, CWMargin(50.0)), 20)) == (
        'Restarts(attack=PGD(ball=LinfBall(epsilon=0.3, lower=0.0, upper=1.0), steps=40, '
        'step_size=0.01, loss=CWMargin(kappa=50.0, targeted=False), random_start=True), '
        'restarts=20)'
    )
