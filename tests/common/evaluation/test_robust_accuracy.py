"""The worst-case accuracy of anybody's network, compared with what `predict` says."""

import doctest
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.errors import BadInput, UserError
from common.evaluation import robust_accuracy as module
from common.evaluation.robust_accuracy import robust_accuracy
from common.evaluation.verdict import Stage
from common.networks.logits import ModelLogits

layers = keras.layers
N, CLASSES, BOUNDS = 30, 3, (0, 255)
X = np.random.default_rng(0).uniform(0, 255, (N, 8, 8, 3)).astype(np.float32)


@pytest.fixture
def short(monkeypatch):
    """Cascades of one short attack, for tests of everything around it."""

    def stages(name, ball, *, steps, step_size, num_classes):
        return (Stage('pgd', PGD(ball, 5, ball.epsilon / 2)),)

    monkeypatch.setattr(module, 'make_stages', stages)


def body(outputs=CLASSES):
    return [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation='relu'),
        layers.Flatten(),
        layers.Dense(outputs),
    ]


def sequential(outputs=CLASSES, first=()):
    return keras.Sequential([keras.Input((8, 8, 3)), *first, *body(outputs)])


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.all = body()

    def call(self, inputs):
        for layer in self.all:
            inputs = layer(inputs)
        return inputs


class WithDropout(Subclassed):
    def call(self, inputs, training=None):
        if training is not False:
            inputs = inputs[:, ::-1]
        return super().call(inputs)


class Module(tf.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def __call__(self, x):
        return self.model(x)  # without training=False


def in_policy(policy, make):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy(before)


def functional(pick=None):
    image = keras.Input((8, 8, 3))
    x = image
    for layer in body():
        x = layer(x)
    if pick is None:
        return keras.Model(image, x)
    other = layers.Dense(7)(layers.Flatten()(image))
    return keras.Model(image, {'other': other, 'logits': x} if pick == 'logits' else [other, x])


def channels_first():
    keras.config.set_image_data_format('channels_first')
    try:
        return keras.Sequential([keras.Input((3, 8, 8)), *body()])
    finally:
        keras.config.set_image_data_format('channels_last')


RANDOM = (layers.RandomFlip, lambda: layers.RandomTranslation(0.3, 0.3))
MODELS = {
    'sequential': sequential,
    'functional': functional,
    'subclassed': Subclassed,
    'subclassed, its own training mode': WithDropout,
    'unbuilt': lambda: keras.Sequential(body()),
    'nested': lambda: keras.Sequential([keras.Input((8, 8, 3)), sequential(), layers.Identity()]),
    'mixed float16': lambda: in_policy('mixed_float16', sequential),
    'mixed float16, subclassed': lambda: in_policy('mixed_float16', Subclassed),
    'mixed bfloat16': lambda: in_policy('mixed_bfloat16', functional),
    'float64': lambda: in_policy('float64', sequential),
    'channels first': channels_first,
    'random layers': lambda: sequential(first=[make() for make in RANDOM]),
    'dropout and noise': lambda: sequential(first=[layers.Dropout(0.5), layers.GaussianNoise(0.9)]),
    'batch normalization': lambda: sequential(first=[layers.BatchNormalization()]),
    'preprocessing': lambda: sequential(first=[layers.Normalization(mean=99.0, variance=900.0)]),
    'outputs by name': lambda: functional('logits'),
    'outputs by number': lambda: functional(1),
    'binary': lambda: sequential(1),
}
OUTPUTS = {'outputs by name': 'logits', 'outputs by number': 1}


def predicted(model, x, output=None):
    """Classes by `model.predict` alone."""
    z = model.predict(x, verbose=0)
    z = np.float64(z if output is None else z[output])
    return (z[:, 0] > 0).astype(int) if z.shape[1] == 1 else z.argmax(axis=1)


def labelled(model, x, output=None):
    """What the model says, except for every tenth image."""
    y = predicted(model, x, output)
    y[::10] = (y[::10] + 1) % 2
    return y


@pytest.mark.parametrize('name', MODELS)
def test_models_of_every_kind_are_judged_as_predict_does(short, name):
    keras.utils.set_random_seed(1)
    model, output = MODELS[name](), OUTPUTS.get(name)
    x = X.transpose(0, 3, 1, 2) if name == 'channels first' else X
    y = labelled(model, x, output)
    settings = {'check': False, 'verbose': False, 'output': output}
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        verdict = robust_accuracy(model, x, y, epsilon=8, bounds=BOUNDS, **settings)
    assert (verdict.natural.correct == (predicted(model, x, output) == y)).all()
    assert verdict.natural.accuracy == 0.9
    assert (verdict.survived == (predicted(model, verdict.x_adv, output) == y)).all()
    assert 0 < np.abs(verdict.x_adv - x).max() <= 8 + 1e-3
    assert verdict.accuracy < 0.9  # the attack has gradients to follow


@pytest.fixture(scope='module')
def model():
    keras.utils.set_random_seed(1)
    return sequential(first=[layers.RandomFlip(), layers.RandomTranslation(0.3, 0.3)])


@pytest.fixture(scope='module')
def y(model):
    return labelled(model, X)


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda model: ModelLogits(model),
        lambda model: keras.Sequential([model]),
        lambda model: lambda x: model(x),
        lambda model: tf.function(lambda x: model(x)),
        lambda model: Module(model),
    ],
    ids=['logits', 'model', 'function', 'tf.function', 'module'],
)
def test_random_layers_are_off_whoever_wraps_the_model(short, model, y, wrapped):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    bare = robust_accuracy(model, X, y, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        found = robust_accuracy(wrapped(model), X, y, **settings)
    np.testing.assert_array_equal(found.survived, bare.survived)
    np.testing.assert_allclose(found.x_adv, bare.x_adv, atol=0.01)


def test_saved_models_and_their_signatures(short, model, y, tmp_path):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    plain = sequential()
    saved = {}
    for name, network in (('plain', plain), ('random', model)):
        network.export(tmp_path / name, verbose=False)
        saved[name] = tf.saved_model.load(tmp_path / name)
    expected = robust_accuracy(plain, X, labelled(plain, X), **settings)
    for network in (saved['plain'], saved['plain'].signatures['serving_default']):
        found = robust_accuracy(network, X, labelled(plain, X), **settings)
        np.testing.assert_array_equal(found.survived, expected.survived)
    # Nothing can switch off the random layers of an exported graph.
    with pytest.warns(UserWarning, match='the network is random'):
        robust_accuracy(saved['random'], X, y, **settings)


def test_a_saved_model_without_signature_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(BadInput, match="the signature 'serving_default'; found none"):
        robust_accuracy(tf.saved_model.load(tmp_path), X, None, epsilon=8, bounds=BOUNDS)


def test_the_verdict_of_a_cascade_and_its_report(model, y, tmp_path):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'preset': 'quick', 'steps': 5, 'verbose': False}
    verdict = robust_accuracy(model, X, y, folder=tmp_path, **settings)
    assert verdict.accuracy == verdict.survived.mean() < 0.9
    low, high = verdict.interval
    assert low < verdict.accuracy < high
    assert set(verdict.broken_by[~verdict.survived]) <= {'natural', 'pgd', 'odi', 'apgd', 'apgd_t'}
    assert set(verdict.broken_by[verdict.survived]) <= {''}
    assert (verdict.broken_by[::10] == 'natural').all()
    report = str(verdict).splitlines()
    assert report[0].startswith('natural accuracy  90.00% (95% interval 74.38% to 96.54%), n = 30')
    assert report[1].startswith(f'robust accuracy   {verdict.accuracy:.2%} (95% interval ')
    assert report[2] == 'in the l-inf ball of radius 8, pixels 0 to 255'
    assert max(map(len, report)) <= 100
    assert any(line.startswith('odi') for line in report)
    assert any('large epsilon' in line for line in report)
    assert len(repr(verdict)) < 120 and f'{verdict.accuracy:.2%}' in repr(verdict)
    stored = json.loads(json.dumps(verdict.as_json()))
    assert stored['accuracy'] == verdict.accuracy and stored['natural'] == 0.9
    assert stored['images']['broken_by'].count(None) == verdict.survived.sum()
    again = robust_accuracy(model, X, y, folder=tmp_path, check=False, **settings)  # from disk
    assert again.cascade.seconds.tolist() == verdict.cascade.seconds.tolist()
    np.testing.assert_array_equal(again.x_adv, verdict.x_adv)


def test_another_model_with_the_same_weights_does_not_get_the_others_result(short, tmp_path, y):
    flat = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    other = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Permute((2, 1, 3)), layers.Flatten(), layers.Dense(3)]
    )
    other.set_weights(flat.get_weights())
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    for network in (flat, other):
        found = robust_accuracy(network, X, labelled(network, X), folder=tmp_path, **settings)
        assert found.natural.accuracy == 0.9
    assert len(list(tmp_path.glob('*.npz'))) == 2


def test_a_verdict_does_not_depend_on_the_global_precision(short, y, model):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    expected = robust_accuracy(model, X, y, **settings)
    found = in_policy('mixed_float16', lambda: robust_accuracy(model, X, y, **settings))
    np.testing.assert_array_equal(found.x_adv, expected.x_adv)


def test_progress_and_the_natural_accuracy_are_shown_at_once(short, model, y, capsys):
    robust_accuracy(model, X, y, epsilon=8, bounds=BOUNDS, check=False)
    out, err = capsys.readouterr()
    assert err.startswith('natural accuracy  90.00%') and not out


def test_what_looks_like_a_mistake_is_told(short, model, y):
    settings = {'check': False, 'verbose': False}
    with pytest.warns(UserWarning, match='no better than guessing one of 3 classes'):
        robust_accuracy(model, X, (y + 1) % 3, epsilon=8, bounds=BOUNDS, **settings)
    with pytest.warns(UserWarning, match='less than one grey level'):
        robust_accuracy(model, X, y, epsilon=8 / 255, bounds=BOUNDS, **settings)
    with pytest.warns(UserWarning, match='at least half of the pixel range'):
        robust_accuracy(model, X, y, epsilon=200, bounds=BOUNDS, **settings)


NAN_MODEL = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
NAN_MODEL.layers[-1].bias.assign([np.nan, 0, 0])


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        ({'x': X / 255}, BadInput, 'pixels from 0 to 255; found'),
        ({'x': X, 'bounds': (0, 1)}, BadInput, 'pixels from 0 to 1; found'),
        ({'y': None}, BadInput, 'expected labels; found None'),
        ({'y': np.zeros(N - 1)}, BadInput, 'expected 30 labels'),
        ({'y': np.full(N, 3)}, BadInput, 'from 0 to 2; found 3'),
        ({'x': X[..., 0]}, BadInput, r'images of shape \(8, 8, 3\)'),
        ({'x': X.transpose(0, 3, 1, 2)}, BadInput, 'Transpose the axes'),
        ({'epsilon': 0}, BadInput, 'epsilon and steps above 0'),
        ({'steps': 0}, BadInput, 'epsilon and steps above 0'),
        ({'step_size': 0}, BadInput, 'step_size above 0'),
        ({'epsilon': -1}, ValueError, 'epsilon must be finite'),
        ({'epsilon': np.nan}, ValueError, 'epsilon must be finite'),
        ({'epsilon': '8'}, BadInput, "expected epsilon as a number; found '8'"),
        ({'epsilon': None}, BadInput, 'expected epsilon as a number; found None'),
        ({'bounds': (0, np.inf)}, BadInput, 'expected bounds as .*found'),
        ({'bounds': (np.nan, 1)}, BadInput, 'expected bounds as .*found'),
        ({'steps': 2.5}, BadInput, 'expected steps as a whole number; found 2.5'),
        ({'step_size': 'a'}, BadInput, "expected step_size as a number; found 'a'"),
        ({'step_size': -1}, BadInput, 'step_size must be finite and at least 0'),
        ({'seed': (1, 2)}, BadInput, 'expected seed as a whole number'),
        ({'seed': None}, BadInput, 'expected seed as a whole number; found None'),
        ({'batch_size': 2.5}, BadInput, 'expected batch_size as a whole number; found 2.5'),
        ({'folder': 5}, BadInput, 'expected folder as the path of a folder, or None; found 5'),
        ({'x': X[0], 'y': [0]}, BadInput, 'add an axis in front'),
        ({'norm': 'l1'}, BadInput, "unknown norm 'l1'"),
        ({'preset': 'slow'}, BadInput, "unknown preset 'slow'; expected one of: quick"),
        ({'dtype': 'float16'}, BadInput, "unknown dtype 'float16'"),
        ({'batch_size': 0}, BadInput, 'batch_size must be at least 1'),
        ({'output': 'logits'}, BadInput, 'has a single output'),
        ({'model': 'my.keras'}, BadInput, 'expected a Keras model, a SavedModel or a function'),
        ({'model': lambda x: x @ x}, BadInput, 'calling it failed'),
        ({'model': NAN_MODEL}, UserError, 'the network returned NaN'),
        ({'model': lambda x: x[:, 0, 0] @ tf.ones((3, 3)), 'dtype': 'bfloat16'}, BadInput, 'Keras'),
    ],
)
def test_malformed_input_gets_one_clear_line(model, y, arguments, error, message):
    given = {'model': model, 'x': X, 'y': y, 'epsilon': 8, 'bounds': BOUNDS, **arguments}
    call = [given.pop(name) for name in ('model', 'x', 'y')]
    with pytest.raises(error, match=message) as refused:
        robust_accuracy(*call, verbose=False, **given)
    assert '\n' not in str(refused.value)


def test_the_documented_example_runs():
    results = doctest.testmod(module)
    assert results.attempted > 0 == results.failed


def test_streams_and_memory_maps(short, model, y, tmp_path):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    whole = np.round(X)
    expected = robust_accuracy(model, whole, y, **settings)
    np.save(tmp_path / 'x.npy', whole.astype(np.uint8))
    mapped = np.load(tmp_path / 'x.npy', mmap_mode='r')
    stream = tf.data.Dataset.from_tensor_slices((whole.astype(np.uint8), y[:, None])).batch(7)
    for found in (
        robust_accuracy(model, mapped, y, **settings),
        robust_accuracy(model, stream, **settings),
    ):
        np.testing.assert_array_equal(found.survived, expected.survived)
        np.testing.assert_array_equal(found.x_adv, expected.x_adv)
        assert isinstance(found.x_adv, np.memmap)
    with pytest.raises(BadInput, match='and y=None with it'):
        robust_accuracy(model, stream, y, **settings)
    with pytest.raises(BadInput, match='expected a finite tf.data.Dataset'):
        robust_accuracy(model, stream.repeat(), **settings)
    with pytest.raises(UserError, match='expected batches of images'):
        robust_accuracy(model, stream.unbatch(), **settings)


def test_the_l2_ball(short, model, y):
    settings = {'bounds': BOUNDS, 'norm': 'l2', 'check': False, 'verbose': False}
    verdict = robust_accuracy(model, X, y, epsilon=40, **settings)
    lengths = np.sqrt(((verdict.x_adv - X) ** 2).sum(axis=(1, 2, 3)))
    assert 39 < lengths.max() <= 40 * (1 + 1e-4)
    assert 'without the attacks that know the l-inf ball only: Adam, FAB, Square' in str(verdict)
    assert verdict.accuracy < 0.9


def test_another_function_with_the_same_weights_and_logits_is_evaluated_anew(
    short, y, tmp_path, model
):
    settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
    with pytest.warns(UserWarning, match='no gradient'):
        blind = robust_accuracy(
            lambda x: model(tf.stop_gradient(x)), X, y, folder=tmp_path, **settings
        )
    seeing = robust_accuracy(lambda x: model(x), X, y, folder=tmp_path, **settings)
    assert seeing.accuracy < blind.accuracy
    seeing.forget()
    blind.forget()
    assert not tmp_path.exists()


def test_a_warning_is_given_once(short, model, y):
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always')
        settings = {'epsilon': 8, 'bounds': BOUNDS, 'check': False, 'verbose': False}
        robust_accuracy(lambda x: tf.nn.softmax(model(x)), X, y, **settings)
    told = [str(w.message) for w in given if 'returns probabilities' in str(w.message)]
    assert 1 <= len(told) <= 2
