"""ModelLogits: precision, training mode, and when the weights are read."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common.errors import UserError
from common.networks.logits import DTYPES, ModelLogits, Snapshot, as_logits, exact, snapshot

DTYPE = pytest.mark.parametrize('dtype', DTYPES)


def small_model():
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation='relu', kernel_initializer=init),
            layers.Flatten(),
            layers.Dense(5, kernel_initializer=keras.initializers.GlorotUniform(seed=2)),
        ],
        name='small',
    )


@pytest.fixture(scope='module')
def model():
    return small_model()


@pytest.fixture(scope='module')
def x():
    return tf.constant(np.random.default_rng(0).uniform(size=(7, 6, 6, 1)), tf.float32)


def test_float32_is_the_model_itself(model, x):
    np.testing.assert_array_equal(ModelLogits(model)(x), model(x))


def test_bfloat16_returns_float32_logits_near_the_models(model, x):
    logits = ModelLogits(model, 'bfloat16')(x)
    plain = model(x).numpy()
    assert logits.dtype == tf.float32
    error = np.abs(logits - plain).max() / np.abs(plain).max()
    assert 0 < error < 4 * 2**-8  # a few roundings to 8 bits, and really computed in bfloat16


def test_bfloat16_gives_float32_input_gradients_near_the_models(model, x):
    gradients = []
    for dtype in DTYPES:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(ModelLogits(model, dtype)(x) ** 2)
        gradients.append(tape.gradient(total, x))
    assert gradients[1].dtype == tf.float32
    np.testing.assert_allclose(gradients[1], gradients[0], atol=0.03 * np.abs(gradients[0]).max())


def test_bfloat16_leaves_the_model_in_float32(x):
    model = small_model()
    before = [v.numpy() for v in model.variables]
    ModelLogits(model, 'bfloat16')(x)
    assert {layer.compute_dtype for layer in model.layers} == {'float32'}
    for old, new in zip(before, model.variables, strict=True):
        assert new.dtype == 'float32'
        np.testing.assert_array_equal(old, new)


@keras.saving.register_keras_serializable('test_logits')
class DtypeProbe(layers.Layer):
    """Returns its input unchanged and records its precision."""

    seen = []

    def call(self, x):
        self.seen.append(x.dtype)
        return x


@pytest.mark.parametrize('nested', [False, True])
def test_bfloat16_reaches_every_layer(nested, x, monkeypatch):
    inner = [layers.Flatten(), layers.Dense(8), DtypeProbe(), layers.Dense(5)]
    if nested:
        inner = [keras.Sequential([keras.Input((6, 6, 1)), *inner])]
    logits_fn = ModelLogits(keras.Sequential([keras.Input((6, 6, 1)), *inner]), 'bfloat16')
    monkeypatch.setattr(DtypeProbe, 'seen', [])
    logits_fn(x)
    assert DtypeProbe.seen == [tf.bfloat16]


@pytest.mark.parametrize(
    'call', [ModelLogits.__call__, lambda f, x: f.snapshot()(x)], ids=['plain', 'snapshot']
)
def test_bfloat16_does_not_round_the_logits(call, model, x):
    logits = call(ModelLogits(model, 'bfloat16'), x)
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32)
    assert np.mean(logits.numpy() != rounded.numpy()) > 0.9


@DTYPE
def test_weights_assigned_later_are_used(dtype, x):
    model = small_model()
    logits_fn = ModelLogits(model, dtype)
    compiled = tf.function(lambda x: snapshot(logits_fn)(x), autograph=False)
    before = compiled(x).numpy()
    for variable in model.trainable_variables:
        variable.assign(2 * variable + 0.5)
    expected = model(x).numpy()
    assert np.abs(before - expected).max() > 1
    tolerance = {'float32': 1e-6, 'bfloat16': 0.02}[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(logits_fn(x), expected, atol=tolerance)
    np.testing.assert_allclose(compiled(x), expected, atol=tolerance)


@pytest.mark.parametrize('policy', ['mixed_bfloat16', 'float16', 'float64'])
@pytest.mark.parametrize('call', [lambda logits: logits, snapshot], ids=['direct', 'snapshot'])
def test_logits_of_models_in_any_precision_are_float32(policy, call, x):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4, dtype=policy)]
    )
    assert model(x).dtype != tf.float32
    as_predicted, exact = (call(ModelLogits(model, dtype))(x) for dtype in (None, 'float32'))
    assert as_predicted.dtype == exact.dtype == tf.float32
    np.testing.assert_array_equal(as_predicted, tf.cast(model(x), tf.float32))
    dense = model.layers[-1]
    expected = np.float64(x).reshape(len(x), -1) @ np.float64(dense.kernel)
    np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-5)


def test_several_outputs_are_refused(x):
    inputs = keras.Input((6, 6, 1))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(4)(flat), keras.layers.Dense(2)(flat)])
    for dtype in DTYPES:
        with pytest.raises(ValueError, match='returned several. Say which one: output= one of 0 '):
            ModelLogits(model, dtype)(x)
        second = ModelLogits(model, dtype, output=1)(x)
        np.testing.assert_allclose(second, model(x)[1], atol=0.02)


def test_snapshot_and_exact_of_any_other_function_are_that_function():
    def logits_fn(x):
        return x

    assert snapshot(logits_fn) is logits_fn and exact(logits_fn) is logits_fn


@DTYPE
def test_a_snapshot_has_the_float32_function_beside_a_rounded_one(model, x, dtype):
    taken = ModelLogits(model, dtype).snapshot()
    assert isinstance(taken, Snapshot) and snapshot(taken) is taken
    assert (exact(taken) is taken) == (dtype == 'float32')
    np.testing.assert_allclose(exact(taken)(x), model(x), rtol=1e-5, atol=1e-6)


def test_training_mode_is_off_unless_asked_for(x):
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, layers.Dropout(0.5, seed=0)(layers.Flatten()(inputs)))
    flat = tf.reshape(x, [7, -1])
    np.testing.assert_allclose(ModelLogits(model)(x), flat, rtol=1e-6)
    dropped = ModelLogits(model, training=True)(x).numpy()
    assert 0.3 < (dropped == 0).mean() < 0.7


def test_batch_norm_uses_the_batch_in_training_mode(x):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Flatten(), layers.BatchNormalization()]
    )
    evaluated = ModelLogits(model)(x).numpy()
    np.testing.assert_allclose(evaluated, tf.reshape(x, [7, -1]), rtol=0.01, atol=0.01)
    trained = ModelLogits(model, training=True)(x).numpy()
    np.testing.assert_allclose(trained.mean(axis=0), 0, atol=0.02)


def normalizing_model():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, kernel_initializer='ones'),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
        ]
    )


@DTYPE
def test_training_mode_moves_the_models_averages_once_a_call(x, dtype):
    model = normalizing_model()
    means = model.layers[0](x).numpy().mean(axis=(0, 1, 2))
    logits_fn = snapshot(ModelLogits(model, dtype, training=True))
    expected = np.zeros(4)
    for _ in range(3):
        logits_fn(x)
        expected = 0.9 * expected + 0.1 * means
    rounding = {'float32': 1e-6, 'bfloat16': 0.01}[dtype]
    np.testing.assert_allclose(model.layers[1].moving_mean, expected, rtol=rounding)


@DTYPE
def test_training_mode_without_update_leaves_the_averages_and_uses_the_batch(x, dtype):
    model = normalizing_model()
    before = [v.numpy() for v in model.variables]
    logits = ModelLogits(model, dtype, training=True, update=False)(x).numpy().reshape(-1, 4)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=0.02)


@DTYPE
@pytest.mark.parametrize('training', [False, True])
def test_xla_returns_the_same_logits_gradients_and_averages(x, dtype, training):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    initial = model.get_weights()
    results = []
    for jit_compile in (False, True):
        model.set_weights(initial)
        logits_fn = ModelLogits(model, dtype, training=training, jit_compile=jit_compile)

        @tf.function
        def twice(x):
            read_once = snapshot(logits_fn)  # noqa: B023 (called before the next turn)
            read_once(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                z = read_once(2 * x)
            return z, tape.gradient(z, x)

        results.append([*twice(x), *model.get_weights()])
    for plain, compiled in zip(*results, strict=True):
        scale = max(np.abs(plain).max(), 1e-6)
        tolerance = 1e-5 if dtype == 'float32' else 0.03
        np.testing.assert_allclose(compiled / scale, plain / scale, atol=tolerance)


def test_refuses_unknown_precision(model):
    with pytest.raises(ValueError, match="unknown dtype 'float16'; expected one of: float32, bf"):
        ModelLogits(model, 'float16')


def test_refuses_bfloat16_for_models_it_cannot_rebuild():
    class Custom(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UserError, match='cannot be rebuilt in mixed_bfloat16') as caught:
        ModelLogits(Custom(name='custom'), 'bfloat16')
    assert 'Use float32' in str(caught.value) and '\n' not in str(caught.value)


class Doubled(keras.Sequential):
    """A Sequential model that is more than its layers, which Keras' clone_model forgets."""

    def call(self, *arguments, **named):
        return 2 * super().call(*arguments, **named)


def test_a_subclass_is_never_replaced_by_its_layers(x):
    layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    doubled = Doubled(layers)
    for model in (doubled, keras.Sequential([keras.Input((6, 6, 1)), doubled])):
        with pytest.raises(UserError, match='cannot be rebuilt in mixed_bfloat16.*a Doubled'):
            ModelLogits(model, 'bfloat16')
        np.testing.assert_allclose(ModelLogits(model).snapshot()(x), model(x), rtol=1e-5)


def test_one_logit_becomes_two(x):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    expected = np.concatenate([np.zeros((len(x), 1)), model(x)], axis=1)
    by_function = as_logits(lambda x: model(x))
    for logits in (ModelLogits(model), ModelLogits(model).snapshot(), by_function):
        np.testing.assert_allclose(logits(x), expected, atol=1e-6)


def test_as_built_is_the_model_to_the_bit(x):
    layers = [keras.layers.Conv2D(4, 3, padding='same'), keras.layers.MaxPooling2D(2)]
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    assert ModelLogits(model)._rearranged('float32') is not None
    built = ModelLogits(model, as_built=True).snapshot()
    np.testing.assert_array_equal(built(x), model(x))
    assert ModelLogits(model, as_built=True)._rearranged('float32') is None
