"""Adversarial training under Keras' fit takes the project's own steps, whatever Keras adds."""

import dataclasses
import doctest
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, Attack, CompiledAttack, Restarts
from common.errors import BadInput, UserError
from common.networks.logits import ModelLogits
from common.threat_model import LinfBall
from common.training import adversarial_training
from common.training.adversarial_training import AdversarialTraining
from common.training.objectives import SaddlePoint, Trades
from common.training.optimizers import Adam, Momentum
from common.training.schedules import LinearRise, Piecewise
from common.training.settings import Settings
from common.training.step import EVALUATE, Replica, Step, seed_of

SHAPE, CLASSES, BATCH, SEED = (4, 4, 1), 3, 8, 3
RNG = np.random.default_rng(0)
Y = RNG.integers(0, CLASSES, 3 * BATCH)
X = RNG.random((len(Y), *SHAPE), dtype=np.float32) * 0.5
X[np.arange(len(Y)), Y, Y] += 0.5
BALL = LinfBall(0.1)
ATTACK = PGD(BALL, steps=3, step_size=0.04)
STILL = PGD(BALL, steps=1, step_size=0.05, random_start=False)
ROOT = pathlib.Path(__file__).parents[3]


def dense(units, seed, **kwargs):
    init = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(units, kernel_initializer=init, **kwargs)


def network(statistics=False, **kwargs):
    """A small one; with `statistics` it has batch normalization and dropout."""
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), dense(6, 1, activation='relu', **kwargs)]
    if statistics:
        layers += [keras.layers.BatchNormalization(momentum=0.9), keras.layers.Dropout(0.3, seed=5)]
    return keras.Sequential([*layers, dense(CLASSES, 2, **kwargs)])


@keras.saving.register_keras_serializable('tests')
class Subclassed(keras.Model):
    """Unbuilt, and of no kind that Keras could clone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flat, self.hidden, self.top = keras.layers.Flatten(), dense(6, 1), dense(CLASSES, 2)

    def call(self, x):
        return self.top(keras.ops.relu(self.hidden(self.flat(x))))


def training(model=None, attack=ATTACK, *, optimizer=None, compiled=None, **kwargs):
    result = AdversarialTraining(model or network(), attack, **{'seed': SEED, **kwargs})
    result.compile(optimizer or keras.optimizers.SGD(0.1), **(compiled or {}))
    return result


def fitted(model, x=X, y=Y, **kwargs):
    kwargs = {'batch_size': BATCH, 'shuffle': False, 'verbose': 0, **kwargs}
    return model.fit(x, y, **kwargs).history


def assert_close(left, right, **tolerance):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, **{'rtol': 1e-5, 'atol': 1e-6, **tolerance})


def test_the_documentation_runs():
    results = doctest.testmod(adversarial_training)
    assert results.attempted > 0 == results.failed


# The project's own steps.

CASES = {
    'eval': {},
    'train': {'statistics': True, 'crafting': 'train'},
    'train_frozen': {'statistics': True, 'crafting': 'train_frozen'},
    'trades': {'statistics': True, 'objective': Trades(2.0)},
    'adam': {'optimizers': (keras.optimizers.Adam(0.01, epsilon=1e-8), Adam(), 0.01)},
    'regularizer': {'weight_decay': 0.1},
    'warm-up': {'epsilon_warmup': 4},
}


@pytest.mark.parametrize('case', CASES)
def test_fit_takes_the_steps_of_the_projects_own_loop(case):
    settings = {
        'statistics': False,
        'crafting': 'eval',
        'objective': SaddlePoint(),
        'optimizers': (keras.optimizers.SGD(0.1, momentum=0.9), Momentum(), 0.1),
        'weight_decay': 0.0,
        'epsilon_warmup': 0,
        **CASES[case],
    }
    optimizer, own_optimizer, rate = settings['optimizers']
    decay = settings['weight_decay']
    regularizer = keras.regularizers.L2(decay / 2) if decay else None
    model = training(
        network(settings['statistics'], kernel_regularizer=regularizer),
        optimizer=optimizer,
        **{key: settings[key] for key in ('objective', 'crafting', 'epsilon_warmup')},
    )
    own = network(settings['statistics'])
    step = Step(
        own,
        Settings(
            train_steps=3,
            batch_size=BATCH,
            seed=SEED,
            learning_rate=Piecewise((rate,)),
            optimizer=own_optimizer,
            sum_loss=False,
            attack=ATTACK,
            **{key: settings[key] for key in ('objective', 'crafting', 'weight_decay')},
        ),
    )
    run = tf.function(
        lambda state, x, y, factor: step(state, x, y, seed=SEED, factor=factor, learning_rate=rate)[
            0
        ],
        autograph=False,
    )
    state, warmup = step.first_state(), LinearRise(settings['epsilon_warmup'])
    for i in range(3):
        part = slice(i * BATCH, (i + 1) * BATCH)
        factor = tf.constant(warmup(i), tf.float32)
        state = run(state, tf.constant(X[part]), tf.constant(Y[part], tf.int32), factor)
    before = [v.numpy() for v in model.model.trainable_variables]
    fitted(model)
    after = [v.numpy() for v in model.model.trainable_variables]
    assert_close(after, state.weights)
    assert_close([v.numpy() for v in model.model.non_trainable_variables], state.statistics)
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_the_network_learns():
    model = training(
        attack=PGD(LinfBall(0.05), 2, 0.04),
        optimizer=keras.optimizers.Adam(0.02),
        compiled={'metrics': ['accuracy']},
    )
    history = fitted(model, np.tile(X, (15, 1, 1, 1)), np.tile(Y, 15), epochs=5)
    assert history['adversarial_accuracy'][0] < 0.7
    assert history['adversarial_accuracy'][-1] >= 0.9
    assert history['loss'][-1] < history['loss'][0] / 2


# What Keras adds.


def test_weights_of_examples():
    """Weight 0 for a half is a training on the other half, whose mean is twice as large."""
    weighted = training(attack=STILL)
    fitted(weighted, X[:8], Y[:8], sample_weight=np.float32([1, 1, 1, 1, 0, 0, 0, 0]))
    half = training(attack=STILL, optimizer=keras.optimizers.SGD(0.05))
    fitted(half, X[:4], Y[:4])
    assert_close(weighted.model.get_weights(), half.model.get_weights())

    by_class = training(attack=STILL)
    fitted(by_class, X[:8], Y[:8], class_weight={0: 2.0, 1: 0.0, 2: 1.0})
    by_example = training(attack=STILL)
    examples = (X[:8], Y[:8], np.float32([2, 0, 1])[Y[:8]])
    by_example.fit(
        tf.data.Dataset.from_tensor_slices(examples).batch(BATCH), shuffle=False, verbose=0
    )
    assert_close(by_class.model.get_weights(), by_example.model.get_weights())


class Answers(keras.metrics.Metric):
    """A user's own: how often class 0 is answered."""

    def __init__(self, name='answers', **kwargs):
        super().__init__(name=name, **kwargs)
        self.count = self.add_weight(initializer='zeros', name='count')

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(
            keras.ops.sum(keras.ops.cast(keras.ops.argmax(y_pred, -1) == 0, 'float32'))
        )

    def result(self):
        return self.count


def adversarial(model, attack, x, y, batches):
    """What `evaluate` attacks with, made by the attack alone."""
    compiled, parts = CompiledAttack(attack, ModelLogits(model)), []
    for i, part in enumerate(batches):
        seed = seed_of(SEED, EVALUATE, tf.constant(i, tf.int64), Replica())
        parts.append(compiled(x[part], y[part], seed=seed))
    return np.concatenate(parts)


@pytest.mark.parametrize('labels', ['n', 'n, 1', 'one-hot'])
def test_metrics_of_natural_and_adversarial_images(labels):
    y = {'n': Y, 'n, 1': Y[:, None], 'one-hot': np.eye(CLASSES, dtype=np.float32)[Y]}[labels]
    model = training(
        evaluation_attack=PGD(LinfBall(0.3), 3, 0.1),
        compiled={'metrics': ['accuracy', Answers()], 'weighted_metrics': ['acc']},
    )
    weight = np.float32(np.arange(len(X)) % 2)
    found = model.evaluate(
        X[:20], y[:20], BATCH, sample_weight=weight[:20], verbose=0, return_dict=True
    )
    x_adv = adversarial(
        model.model, model.evaluation_attack, X, Y, [slice(0, 8), slice(8, 16), slice(16, 20)]
    )
    assert set(found) == {
        *('loss', 'accuracy', 'answers', 'acc'),
        *('adversarial_accuracy', 'adversarial_answers', 'adversarial_acc'),
    }
    for prefix, x in (('', X[:20]), ('adversarial_', x_adv)):
        answers = model.predict(x, verbose=0).argmax(axis=1)
        right = answers == Y[:20]
        assert found[f'{prefix}accuracy'] == pytest.approx(right.mean())
        assert found[f'{prefix}acc'] == pytest.approx(right[1::2].mean())
        assert found[f'{prefix}answers'] == (answers == 0).sum()
    assert found['accuracy'] != found['adversarial_accuracy']
    again = model.evaluate(
        X[:20], y[:20], BATCH, sample_weight=weight[:20], verbose=0, return_dict=True
    )
    assert again == found
    if labels != 'n':
        return
    history = fitted(model, X, y, validation_data=(X[:20], y[:20]))
    assert {*found, *(f'val_{name}' for name in found)} == set(history)


@pytest.mark.slow
def test_metrics_of_another_compile():
    model = training(compiled={'metrics': ['accuracy']})
    model.train_on_batch(X, Y)
    model.compile('sgd')  # Keras keeps the metrics then
    found = model.train_on_batch(X, Y, return_dict=True)
    assert set(found) == {'loss', 'accuracy', 'adversarial_accuracy'}
    model.compile('sgd', metrics=[Answers()])
    found = model.test_on_batch(X, Y, return_dict=True)
    assert set(found) == {'loss', 'answers', 'adversarial_answers'}


def test_the_loss_has_the_layers_own():
    """Regularizers, and what layers add for the images of the last call."""
    model = network(kernel_regularizer='l2', activity_regularizer=keras.regularizers.L1(0.1))
    model = training(model, PGD(BALL, 0, 0.0, random_start=False))
    plain = keras.Sequential(model.model.layers)
    plain.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = plain.evaluate(X[:8], Y[:8], verbose=0)
    assert model.evaluate(X[:8], Y[:8], verbose=0) == pytest.approx(expected, rel=1e-5)
    assert fitted(model, X[:8], Y[:8])['loss'] == [pytest.approx(expected, rel=1e-5)]


@pytest.fixture(scope='module')
def trained():
    """Weights of a network after three batches, of which the last is a short one."""
    model = training()
    fitted(model, X[:20], Y[:20])
    return model.model.get_weights()


@pytest.mark.parametrize('way', ['run_eagerly', 'steps_per_execution', 'jit_compile', 'subclassed'])
def test_ways_to_run(way, trained):
    changes = {'run_eagerly': True, 'steps_per_execution': 2, 'jit_compile': True}
    compiled = {way: changes[way]} if way in changes else {}
    model = training(Subclassed() if way == 'subclassed' else None, compiled=compiled)
    fitted(model, X[:20], Y[:20])
    assert_close(model.model.get_weights(), trained, rtol=1e-4, atol=1e-5)
    assert not model.jit_compile  # XLA would drop the checks


def test_a_network_in_mixed_precision(trained):
    model = training(network(dtype='mixed_float16'))
    fitted(model, X[:20], Y[:20])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    for start, found, expected in zip(
        network().get_weights(), model.model.get_weights(), trained, strict=True
    ):
        assert np.abs(found - expected).max() < 0.1 * np.abs(expected - start).max()


# Callbacks, and files.


class Killed(BaseException):
    """Stands for SIGKILL."""


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise Killed


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    def run(*callbacks):
        model = training(
            network(statistics=True), optimizer=keras.optimizers.Adam(0.01), epsilon_warmup=8
        )
        fitted(model, epochs=4, callbacks=list(callbacks))
        return [v.numpy() for v in model.variables]

    expected = run()
    with pytest.raises(Killed):
        run(keras.callbacks.BackupAndRestore(tmp_path / 'backup'), Kill(2))
    found = run(keras.callbacks.BackupAndRestore(tmp_path / 'backup'))
    assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.slow
def test_callbacks(tmp_path):
    model = training(Subclassed(), compiled={'metrics': ['accuracy']})
    model(X[:1])  # Keras wants it built for some of them
    monitor = {'monitor': 'val_adversarial_accuracy', 'mode': 'max'}
    fitted(
        model,
        epochs=3,
        validation_data=(X, Y),
        callbacks=[
            keras.callbacks.ModelCheckpoint(tmp_path / 'a.weights.h5', save_weights_only=True),
            keras.callbacks.ModelCheckpoint(tmp_path / 'a.keras', save_best_only=False, **monitor),
            keras.callbacks.EarlyStopping(patience=5, restore_best_weights=False, **monitor),
            keras.callbacks.TensorBoard(tmp_path / 'logs'),
        ],
    )
    assert list((tmp_path / 'logs' / 'validation').glob('events*'))
    weights = model.model.get_weights()

    other = training(Subclassed())
    other(X[:1])
    other.load_weights(tmp_path / 'a.weights.h5')
    assert_close(other.model.get_weights(), weights, rtol=0, atol=0)

    loaded = keras.models.load_model(tmp_path / 'a.keras')
    assert loaded.attack == ATTACK
    assert loaded.objective == SaddlePoint()
    found = loaded.evaluate(X, Y, verbose=0, return_dict=True)
    assert found == model.evaluate(X, Y, verbose=0, return_dict=True)
    fitted(loaded)  # goes on where the file was written
    fitted(model)
    assert_close(loaded.get_weights(), model.get_weights(), rtol=0, atol=0)

    model.model.save(tmp_path / 'network.keras')
    alone = keras.models.load_model(tmp_path / 'network.keras')
    assert_close(alone.predict(X, verbose=0), model.predict(X, verbose=0))


def test_settings_survive_a_file(tmp_path):
    model = training(
        attack=PGD(LinfBall(np.float32(0.5), -1.0, 1.0), 2, 0.25),
        objective=Trades(3.0),
        crafting='train_frozen',
        epsilon_warmup=7,
        evaluation_attack=Restarts(ATTACK, 2),
        compiled={'jit_compile': True, 'metrics': ['accuracy']},
    )
    model.save(tmp_path / 'a.keras')
    loaded = keras.models.load_model(tmp_path / 'a.keras')
    for name in ('attack', 'evaluation_attack', 'objective', 'crafting', 'seed', 'epsilon_warmup'):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.get_compile_config()['jit_compile'] is True


@dataclasses.dataclass(frozen=True)
class Nothing(Attack):
    """A user's own attack."""

    amount: object
    gradients = 0

    def perturb(self, logits_fn, x, y, *, seed):
        return x

    __call__ = perturb


def test_an_attack_of_the_users_own_survives_a_file(tmp_path):
    training(attack=Nothing(0.5)).save(tmp_path / 'a.keras')
    with pytest.raises(UserError, match="custom_objects={'Nothing': Nothing}"):
        keras.models.load_model(tmp_path / 'a.keras')
    loaded = keras.models.load_model(tmp_path / 'a.keras', custom_objects={'Nothing': Nothing})
    assert loaded.attack == Nothing(0.5)


def test_an_attack_that_no_file_can_hold():
    model = training(attack=Nothing(np.zeros(3)))
    fitted(model)
    with pytest.raises(UserError, match='save_weights_only=True'):
        model.get_config()


# Refusals.


@pytest.mark.parametrize(
    'arguments, words',
    [
        ({'model': lambda x: x}, 'model: expected a keras.Model; found a function'),
        ({'attack': 'pgd'}, "attack: expected an attack, such as PGD; found 'pgd'"),
        ({'attack': None}, 'attack: expected'),
        ({'attack': PGD}, 'attack: expected .* found <class'),
        ({'evaluation_attack': 3}, 'evaluation_attack: expected'),
        ({'objective': 'mart'}, "expected one of 'pgd', 'trades', or .* found 'mart'"),
        ({'crafting': 'test'}, "expected one of 'eval', 'train', .* found 'test'"),
        ({'objective': 'trades', 'attack': STILL}, 'random start'),
        ({'objective': 'trades', 'attack': Restarts(ATTACK, 2)}, 'random start'),
        ({'epsilon_warmup': 5, 'attack': Restarts(ATTACK, 2)}, 'radius can grow'),
        ({'attack': lambda network, x, y: x}, 'attack: expected an attack, .* found <function'),
        ({'objective': None}, 'objective: expected one of .* found None'),
        ({'objective': 5}, 'objective: expected one of .* found 5'),
        ({'objective': Trades}, 'objective: expected one of .* found <class'),
        ({'epsilon_warmup': -1}, 'epsilon_warmup: expected a whole number from 0 .* found -1'),
        ({'epsilon_warmup': 1.5}, 'epsilon_warmup: expected a whole number'),
        ({'seed': 'a'}, "seed: expected a whole number .* found 'a'"),
        ({'seed': 1.5}, 'seed: expected a whole number'),
        ({'seed': 2**31}, 'seed: expected a whole number'),
    ],
)
def test_refused_arguments(arguments, words):
    with pytest.raises(BadInput, match=words) as caught:
        AdversarialTraining(**{'model': network(), 'attack': ATTACK, **arguments})
    assert '\n' not in str(caught.value)


def test_a_loss_is_refused():
    with pytest.raises(UserError, match=r'expected None, since the objective \(SaddlePoint\)'):
        training(compiled={'loss': 'mse'})


class NotAgain(keras.metrics.Mean):
    def __init__(self, something):
        super().__init__()


def test_a_metric_that_cannot_be_made_again_is_refused():
    with pytest.raises(UserError, match='metrics: expected a metric that get_config'):
        training(compiled={'metrics': [NotAgain(1)]})


def nan(x):
    x = x.copy()
    x[5, 1, 1] = np.nan
    return x


REFUSED = {
    'too bright': (X * 255, Y, 'pixels from 0.0 to 1.0, .* LinfBall .* found images from .* to 2'),
    'negative': (X - 0.5, Y, 'found images from -0.'),
    'of another range': (X / 255, Y, 'expected images with pixels from 0.0 to 1.0'),
    'NaN': (nan(X), Y, 'expected finite pixels; found NaN or infinity'),
    'label too large': (X, Y + 1, 'labels that are whole numbers from 0 to 2; found 1 to 3'),
    'label too small': (X, Y - 1, 'found -1 to 1'),
    'label in between': (X, Y + 0.5, 'found 0.5 to 2.5'),
    'mixed labels': (X, np.full([len(X), 3], 1 / 3), 'expected one-hot labels'),
    'wide labels': (X, np.eye(5)[Y], r'one-hot \[n, 3\]; found \[.*, 5\]'),
    'label beyond 32 bits': (X, Y + 2**32, 'whole numbers from 0 to 2; found 4294967296'),
    'flat images': (X.reshape(len(X), -1), Y, r'images of shape \(4, 4, 1\), .* found \(16\)'),
    'one number an image': (X[:, 0, 0, 0], Y, r'images of shape \[n, ...\]; found'),
    'words for labels': (X, Y.astype(str), 'labels .* that are numbers; found str'),
    'objects for labels': (X, Y.astype(object), 'that are numbers; found object'),
    'no labels': (X, None, 'one array of images and one of labels; found no labels'),
}


@pytest.fixture(scope='module')
def untouched():
    return training()


@pytest.mark.parametrize('case', REFUSED)
def test_refused_batches(case, untouched):
    x, y, words = REFUSED[case]
    # After other images or labels, Keras would forget how many dimensions these have.
    model = training() if np.ndim(y) == 2 or np.ndim(x) != 4 else untouched
    before = model.model.get_weights()
    with pytest.raises(UserError, match=words) as caught:
        fitted(model, x, y)
    assert '\n' not in str(caught.value)
    assert_close(model.model.get_weights(), before, rtol=0, atol=0)
    with pytest.raises(UserError, match=words):
        model.evaluate(x, y, verbose=0)


@pytest.mark.slow
def test_labels_in_another_form_need_another_compile():
    """The graph's labels are of any length by then, and would be of any form from there on."""
    model, one_hot = training(), np.eye(CLASSES, dtype=np.float32)[Y]
    fitted(model, X[:20], np.float32(Y[:20]))
    with pytest.raises(UserError, match='labels with a known .* Call compile again'):
        fitted(model, X, one_hot)
    model.compile(keras.optimizers.SGD(0.1))
    fitted(model, X, one_hot)


def slices(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays)


OTHER_DATA = {
    'unbatched': (slices(X, Y), 'expected batches .* found one image of shape .4, 4, 1'),
    'unbatched, one-hot': (slices(X, np.eye(3)[Y]), 'expected batches'),
    'words': (slices(X, Y.astype(str)).batch(8), 'labels that are numbers; found string'),
    'fewer labels': (
        tf.data.Dataset.from_generator(
            lambda: iter([(X[:8], Y[:7])]),
            output_signature=(tf.TensorSpec([None, *SHAPE]), tf.TensorSpec([None])),
        ),
        'as many labels as images; found 7 labels of 8 images',
    ),
    'unknown rank': (
        tf.data.Dataset.from_generator(
            lambda: iter([(X[:8], Y[:8])]), output_types=('float32', 'int64')
        ),
        'expected images with a known number of dimensions; found an unknown one',
    ),
}


@pytest.mark.parametrize('case', OTHER_DATA)
def test_refused_data_sets(case):
    data, words = OTHER_DATA[case]
    with pytest.raises(BadInput, match=words) as caught:
        training().fit(data, verbose=0)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'weight, words',
    [(np.where(Y, 1.0, np.nan), 'finite weights'), (Y.astype(str), 'that are numbers; found str')],
)
def test_refused_weights(weight, words):
    with pytest.raises(BadInput, match=words):
        fitted(training(), sample_weight=weight)


@pytest.mark.slow
def test_labels_that_are_true_or_false():
    models = [training(compiled={'metrics': ['accuracy']}) for _ in range(2)]
    results = [fitted(m, y=y) for m, y in zip(models, (Y > 0, np.int32(Y > 0)), strict=True)]
    assert results[0] == results[1]


def test_the_first_images_may_be_black(untouched):
    fitted(training(), np.concatenate([np.zeros_like(X[:BATCH]), X[BATCH:]]))


def test_refused_batches_under_run_eagerly():
    with pytest.raises(UserError, match='found images from'):
        training(compiled={'run_eagerly': True}).train_on_batch(X * 255, Y)


def test_refused_networks():
    softmax = keras.Sequential([*network().layers, keras.layers.Softmax()])
    with pytest.raises(UserError, match='expected logits; the network returned probabilities'):
        fitted(training(softmax))
    pixels = keras.Sequential([keras.Input(SHAPE), dense(CLASSES, 1)])
    with pytest.raises(UserError, match=r'\[batch, classes\].* found \[.*, 4, 4, 3\]'):
        fitted(training(pixels))


def binary(*last):
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), dense(6, 1, activation='relu')]
    return keras.Sequential([*layers, *last])


@pytest.mark.parametrize('eagerly', [False, True])
def test_a_single_probability_is_refused(eagerly):
    model = training(binary(dense(1, 2, activation='sigmoid')), compiled={'run_eagerly': eagerly})
    before = model.model.get_weights()
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(BadInput, match='expected a logit as the single output') as caught:
            method(X, Y > 0)
        assert '\n' not in str(caught.value)
    assert_close(model.model.get_weights(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    'kernel', ['zeros', keras.initializers.RandomUniform(0, 0.02, seed=1)], ids=['zeros', 'small']
)
def test_a_single_logit_may_begin_between_0_and_1(kernel):
    model = binary(keras.layers.Dense(1, kernel_initializer=kernel))
    logits = model.predict(X, verbose=0)
    assert 0 <= logits.min() and logits.max() < 1
    fitted(training(model), y=Y > 0)


# Several devices.

TWO_DEVICES = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
import common
import keras
import numpy as np
import pytest
import tensorflow as tf

cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from common.attacks import PGD
from common.errors import UserError
from common.threat_model import LinfBall
from common.training.adversarial_training import AdversarialTraining

several = tf.distribute.MultiWorkerMirroredStrategy()
with several.scope(), pytest.raises(UserError, match='common.training.trainer.Trainer'):
    AdversarialTraining(keras.Sequential([keras.layers.Dense(2)]), PGD(LinfBall(.1), 1, .1))

rng = np.random.default_rng(0)
x = rng.random((21, 4, 4, 1), dtype=np.float32)
y = rng.integers(0, 3, 21)

def trained(strategy, attack, statistics=False):
    with strategy.scope():
        init = keras.initializers.GlorotUniform(seed=1)
        layers = [keras.Input((4, 4, 1)), keras.layers.Flatten()]
        if statistics:
            layers += [keras.layers.BatchNormalization(momentum=.5), keras.layers.Dropout(.2)]
        layers += [keras.layers.Dense(3, kernel_initializer=init, kernel_regularizer='l2')]
        model = AdversarialTraining(
            keras.Sequential(layers), attack, crafting='train' if statistics else 'eval'
        )
        model.compile(keras.optimizers.SGD(.1, momentum=.9), metrics=['accuracy'])
    validation = None if statistics else (x, y)
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0, validation_data=validation)
    return model, history.history

one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
assert two.num_replicas_in_sync == 2

# Without random starts and batch statistics, two devices are one; the last batch is 3 + 2.
still = PGD(LinfBall(.1), 2, .06, random_start=False)
(alone, expected), (shared, found) = (trained(s, still) for s in (one, two))
for a, b in zip(alone.get_weights(), shared.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
assert expected.keys() == found.keys()
for name in expected:
    np.testing.assert_allclose(expected[name], found[name], rtol=1e-4, err_msg=name)

# Each device draws its own random starts, and all copies of all variables stay equal.
moving = PGD(LinfBall(.1), 2, .06)
model, _ = trained(two, moving, statistics=True)
assert int(model.variables[0].numpy()) == 3
for variable in [*model.variables, *model.optimizer.variables]:
    left, right = (part.numpy() for part in two.experimental_local_results(variable.value))
    np.testing.assert_array_equal(left, right, err_msg=variable.path)
    assert np.isfinite(left).all()
with pytest.raises(UserError, match='found images from'):
    model.fit(x * 255, y, batch_size=8, verbose=0)

def binary(activation):
    with two.scope():
        last = keras.layers.Dense(1, activation=activation)
        network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), last])
        model = AdversarialTraining(network, still)
        model.compile('sgd', metrics=['accuracy'])
    return model

history = binary(None).fit(x, y // 2, batch_size=8, verbose=0)
assert 'adversarial_accuracy' in history.history
with pytest.raises(UserError, match='expected a logit'):
    binary('sigmoid').fit(x, y // 2, batch_size=8, verbose=0)
with pytest.raises(UserError, match='found bool'):
    binary(None).fit(x, y > 1, batch_size=8, verbose=0)
print('as one')
"""


@pytest.mark.slow
def test_two_devices():
    run = subprocess.run(
        [sys.executable, '-c', TWO_DEVICES], capture_output=True, text=True, cwd=ROOT
    )
    assert run.stdout.strip().endswith('as one'), run.stderr[-3000:]
