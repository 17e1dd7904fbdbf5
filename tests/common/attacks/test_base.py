"""What every attack takes from its callers, and what it refuses."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import keras  # isort: skip

from common.attacks import PGD, CompiledAttack, Restarts, Square, fgsm
from common.attacks.base import as_seed
from common.attacks.on_arrays import attack
from common.errors import BadInput, UserError
from common.losses import CWMargin
from common.threat_model import L2Ball, LinfBall

BALL = LinfBall(8, 0, 255)
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 255, (10, 4, 4, 1)).astype(np.float32)
Y = np.arange(10) % 3


@pytest.fixture(scope='module')
def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    )


PERTURB = {
    'eager': lambda attack, model: functools.partial(attack, model),
    'compiled': CompiledAttack,
}


@pytest.fixture(params=PERTURB)
def perturb(request, model):
    return PERTURB[request.param](PGD(BALL, 3, 2), model)


def test_labels_and_images_come_in_any_usual_form(perturb):
    expected = perturb(X, Y, seed=(0, 0)).numpy()
    for y in (Y[:, None], np.eye(3)[Y], Y.astype(float), tf.constant(Y), Y.tolist()):
        np.testing.assert_array_equal(perturb(X, y, seed=0), expected)
    for x in (X.astype(float), X.tolist(), tf.constant(X)):
        np.testing.assert_array_equal(perturb(x, Y), expected)
    whole = np.round(X)
    np.testing.assert_array_equal(perturb(whole.astype(np.uint8), Y), perturb(whole, Y))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'x': X / 255}, 'pixels from 0 to 255; found .* as if'),
        ({'x': X * 2}, 'pixels from 0 to 255; found'),
        ({'x': np.where(X > 250, np.nan, X)}, 'finite pixels'),
        ({'x': X[..., 0]}, r'images of shape \(4, 4, 1\), as the network takes them.*channel axis'),
        ({'x': X[:0], 'y': Y[:0]}, 'at least one image'),
        ({'y': Y[:9]}, 'expected 10 labels'),
        ({'y': Y[:1]}, 'expected 10 labels'),
        ({'y': Y + 1}, 'found 3 for image 2'),
        ({'y': Y - 1}, 'found -1 for image 0'),
        ({'seed': 'a'}, 'expected a seed of one or two whole numbers'),
        ({'seed': (1, 2, 3)}, 'expected a seed'),
        ({'seed': 2**40}, 'expected a seed'),
        ({'batch_size': 0}, 'batch_size must be at least 1'),
    ],
)
def test_everything_else_is_refused(perturb, arguments, message):
    given = {'x': X, 'y': Y, **arguments}
    with pytest.raises(BadInput, match=message):
        perturb(given.pop('x'), given.pop('y'), **given)


@pytest.mark.parametrize('restarts', [1, 2])
def test_batches_are_attacked_one_by_one_the_first_with_the_seed_itself(model, restarts):
    pgd = PGD(BALL, 3, 2) if restarts == 1 else Restarts(PGD(BALL, 3, 2), restarts)
    parts = [(slice(0, 4), [5, 0]), (slice(4, 8), tf.random.fold_in([5, 0], 1))]
    parts.append((slice(8, 10), tf.random.fold_in([5, 0], 2)))
    expected = [pgd(model, X[part], Y[part], seed=seed) for part, seed in parts]
    for perturb in (make(pgd, model) for make in PERTURB.values()):
        found = perturb(X, Y, seed=5, batch_size=4)
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-4)


def test_a_bar_is_shown_when_asked_for(perturb, capsys):
    perturb(X, Y, batch_size=5)
    assert capsys.readouterr().err == ''
    perturb(X, Y, batch_size=5, verbose=True)
    assert '2/2' in capsys.readouterr().err


def test_seeds():
    assert as_seed(3).numpy().tolist() == as_seed((3, 0)).numpy().tolist() == [3, 0]
    assert as_seed(tf.constant([1, 2])).numpy().tolist() == [1, 2]
    assert as_seed(np.int64(-1)).numpy().tolist() == [-1, 0]


def test_a_loss_can_be_named():
    assert PGD(BALL, 3, 2, loss='cw').loss == CWMargin() == fgsm(BALL, 'cw').loss
    with pytest.raises(ValueError, match="unknown loss 'cv'; expected one of: cw, xent"):
        PGD(BALL, 3, 2, loss='cv')


@pytest.mark.parametrize('shape', [(16,), (4, 4), (3, 6, 5), (6, 5, 3), (2, 3, 4, 1)])
def test_square_takes_images_of_any_layout(shape):
    x = RNG.uniform(0, 255, (5, *shape)).astype(np.float32)
    w = RNG.standard_normal((np.prod(shape), 2)).astype(np.float32)

    def network(x):
        return tf.reshape(x, [len(x), -1]) @ w

    y = network(x).numpy().argmax(axis=1)
    x_adv = Square(BALL, 60)(network, x, y).numpy()
    assert x_adv.shape == x.shape and np.abs(x_adv - x).max() <= 8 + 1e-4

    def margin(x):
        z = network(x).numpy()
        return z[np.arange(5), y] - z[np.arange(5), 1 - y]

    assert (margin(x_adv) < margin(x)).all()


def test_squares_of_images_with_channels_first_are_those_with_channels_last(model):
    x = RNG.uniform(0, 255, (5, 6, 5, 3)).astype(np.float32)
    w = RNG.standard_normal((90, 2)).astype(np.float32)
    last = Square(BALL, 20)(lambda x: tf.reshape(x, [-1, 90]) @ w, x, np.zeros(5))
    first = Square(BALL, 20)(
        lambda x: tf.reshape(tf.transpose(x, [0, 2, 3, 1]), [-1, 90]) @ w,
        x.transpose(0, 3, 1, 2),
        np.zeros(5),
    )
    np.testing.assert_array_equal(tf.transpose(first, [0, 2, 3, 1]), last)


def test_attack_by_name_is_the_attack(model):
    settings = {'epsilon': 8, 'bounds': (0, 255), 'verbose': False}
    found = attack(model, X, Y, 'cw', steps=3, step_size=2, seed=1, **settings)
    expected = CompiledAttack(PGD(BALL, 3, 2, 'cw'), model)(X, Y, seed=1)
    np.testing.assert_array_equal(found, expected)
    assert isinstance(found, np.ndarray)
    l2 = attack(model, X, Y, 'pgd', norm='l2', steps=5, restarts=2, **settings)
    assert L2Ball(8, 0, 255).contains(tf.constant(l2), tf.constant(X)).numpy().all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'method': 'pdg'}, "unknown method 'pdg'; expected one of: pgd, fgsm"),
        ({'norm': 'l7'}, "unknown norm 'l7'; expected one of: linf, l2"),
        ({'bounds': 255}, 'expected bounds as the smallest and the largest pixel value'),
        ({'bounds': (255, 0)}, 'expected lower < upper'),
        ({'epsilon': -1}, 'epsilon must be finite and at least 0'),
        ({'y': Y[:3]}, 'expected 10 labels'),
        ({'x': X + 1}, 'pixels from 0 to 255'),
        ({'steps': -1}, 'steps'),
        ({'steps': 2.5}, 'expected steps as a whole number; found 2.5'),
        ({'steps': '10'}, "expected steps as a whole number; found '10'"),
        ({'epsilon': '8'}, "expected epsilon as a number; found '8'"),
        ({'epsilon': np.arange(2)}, r'expected epsilon as a number; found an array of shape \[2\]'),
        ({'step_size': 'a'}, "expected step_size as a number; found 'a'"),
        ({'step_size': np.nan}, 'step_size must be finite'),
        ({'restarts': 2.5}, 'expected restarts as a whole number; found 2.5'),
        ({'restarts': 0}, 'restarts must be at least 1'),
        ({'batch_size': 'a'}, "expected batch_size as a whole number; found 'a'"),
        ({'seed': 1.5}, 'expected a seed of one or two whole numbers'),
        ({'bounds': (0, np.inf)}, 'expected bounds as .* pixel value'),
        ({'norm': ['l2']}, "unknown norm .'l2'."),
        ({'method': 'fgsm', 'restarts': 2}, 'without randomness'),
    ],
)
def test_attack_by_name_refuses(model, arguments, message):
    given = {'x': X, 'y': Y, 'epsilon': 8, 'bounds': (0, 255), **arguments}
    with pytest.raises(UserError, match=message) as refused:
        attack(model, given.pop('x'), given.pop('y'), verbose=False, **given)
    assert '\n' not in str(refused.value)


def test_attacks_that_make_nan_say_so(model):
    def network(x):  # the square root has no gradient at 0
        return tf.sqrt(tf.nn.relu(tf.reshape(x, [-1, 16]) - 300.0))[:, :3]

    with pytest.raises(UserError, match='the attack made NaN or infinity'):
        PGD(BALL, 3, 2)(network, X, Y)
    with pytest.raises(UserError, match='the attack made NaN or infinity'):
        PGD(BALL, 3, tf.constant(np.nan))(model, X, Y)


def test_inside_of_a_graph_an_attack_is_a_part_of_it(model):
    expected = CompiledAttack(PGD(BALL, 3, 2), model)(X, Y, seed=4)
    compiled, bare = CompiledAttack(PGD(BALL, 3, 2), model), PGD(BALL, 3, 2)
    for call in (compiled, functools.partial(bare, model)):
        inside = tf.function(lambda x, y, call=call: call(x, y, seed=4), autograph=False)
        np.testing.assert_allclose(inside(X, np.int32(Y)), expected, atol=1e-3)
