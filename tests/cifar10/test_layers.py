"""The layers agree with plain NumPy, Keras and TensorFlow."""

import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from cifar10.layers import BatchNormalization, LeakyReLU, Shortcut, Standardize

RNG = np.random.default_rng(0)
DTYPE = pytest.mark.parametrize('policy', ['float32', 'mixed_bfloat16'])


def test_standardizes_each_image_by_its_own_mean_and_deviation():
    x = RNG.uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)
    mean, deviation = x.mean((1, 2, 3), keepdims=True), x.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(Standardize()(x), (x - mean) / deviation, atol=1e-5)


def test_an_even_image_is_divided_by_no_less_than_the_least_deviation():
    x = np.full((1, 32, 32, 3), 7, np.float32)
    x[0, 0, 0, 0] += 0.1  # deviation 0.0018, below 1 / sqrt(3072) = 0.018
    expected = (x - x.mean(dtype=np.float64)) * np.sqrt(3072)
    np.testing.assert_allclose(Standardize()(x), expected, atol=2e-4)


def test_gradients_flow_through_mean_and_deviation():
    x = tf.constant(RNG.uniform(0, 255, (3, 32, 32, 3)).astype(np.float32))
    weights = RNG.normal(size=x.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = Standardize()(x)
        total = tf.reduce_sum(z * weights)
    # d/dx of sum(w z): (w - mean(w) - z mean(w z)) / sd.
    axes = (1, 2, 3)
    w, z = weights.astype(np.float64), z.numpy().astype(np.float64)
    expected = w - w.mean(axes, keepdims=True) - z * (w * z).mean(axes, keepdims=True)
    expected /= x.numpy().std(axes, keepdims=True)
    np.testing.assert_allclose(tape.gradient(total, x), expected, atol=1e-6)


def test_standardizes_in_float32_before_it_rounds():
    # 200 and 200.5 are the same number in bfloat16.
    x = np.where(np.arange(32)[None, :, None, None] % 2, 200.5, 200.0)
    x = np.broadcast_to(x, (1, 32, 32, 3)).astype(np.float32)
    z = Standardize(dtype='mixed_bfloat16')(x)
    assert z.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(z, tf.float32), np.where(x > 200.2, 1, -1), rtol=0.01)


@DTYPE
def test_leaky_relu_and_its_slope_which_is_1_at_zero(policy):
    x = tf.constant([-3.0, -1e-30, 0.0, 1e-30, 2.0])
    layer = LeakyReLU(dtype=policy)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    rounding = 1e-6 if policy == 'float32' else 0.005
    np.testing.assert_allclose(tf.cast(y, tf.float32), [-0.3, -1e-31, 0, 1e-30, 2], rtol=rounding)
    np.testing.assert_allclose(tape.gradient(y, x), [0.1, 0.1, 1.0, 1.0, 1.0], rtol=rounding)


@pytest.mark.parametrize('stride, added', [(1, 0), (1, 72), (2, 8)])
def test_shortcut_averages_windows_and_adds_zeros_on_both_sides(stride, added):
    x = RNG.normal(size=(2, 8, 8, 16)).astype(np.float32)
    y = Shortcut(16 + 2 * added, stride)(x).numpy()
    windows = x.reshape(2, 8 // stride, stride, 8 // stride, stride, 16).mean((2, 4))
    assert y.shape == (2, 8 // stride, 8 // stride, 16 + 2 * added)
    np.testing.assert_allclose(y[..., added : added + 16], windows, atol=1e-6)
    assert not y[..., :added].any() and not y[..., added + 16 :].any()


def pair(**kwargs):
    """This layer and Keras' own, with the same random weights and statistics."""
    layers = [
        kind(momentum=0.9, epsilon=1e-3, **kwargs)
        for kind in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    values = [RNG.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)]
    for layer in layers:
        layer.build((None, 4, 4, 6))
        layer.set_weights(values)
    return layers


@pytest.mark.parametrize('training', [False, True])
def test_batch_norm_and_its_gradients_are_keras(training):
    x = tf.constant(RNG.normal(3, 2, (5, 4, 4, 6)).astype(np.float32))
    weights = RNG.normal(size=x.shape).astype(np.float32)
    found = []
    for layer in pair():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            total = tf.reduce_sum(y * weights)
        gradients = tape.gradient(total, [x, *layer.trainable_variables])
        found.append([y, *gradients, *layer.variables])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_the_moving_variance_is_that_of_the_batch_itself():
    # Not corrected by N / (N - 1), which later versions of TensorFlow 1 did.
    layer, _ = pair()
    x = RNG.normal(size=(2, 2, 2, 6)).astype(np.float32)  # N = 8: the correction would be 14%
    before = layer.moving_variance.numpy()
    layer(x, training=True)
    expected = 0.9 * before + 0.1 * x.var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


def test_batch_norm_keeps_its_scale_and_statistics_in_float32():
    exact, mixed = pair()[0], BatchNormalization(momentum=0.9, epsilon=1e-3, dtype='mixed_bfloat16')
    mixed.build((None, 4, 4, 6))
    mixed.set_weights(exact.get_weights())
    # Numbers that bfloat16 represents exactly, so that only the result is rounded.
    x = RNG.integers(-8, 8, (5, 4, 4, 6)).astype(np.float32)
    for training in (False, True):
        y = mixed(x, training=training)
        assert y.dtype == tf.bfloat16
        np.testing.assert_allclose(
            tf.cast(y, tf.float32), exact(x, training=training), rtol=2**-8, atol=1e-6
        )
    for ours, theirs in zip(mixed.variables, exact.variables, strict=True):
        assert ours.dtype == 'float32'
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


MIRRORED = textwrap.dedent("""
    import pathlib, sys
    import keras, numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    sys.path.insert(0, sys.argv[1])
    from cifar10.layers import BatchNormalization
    from common.attacks import PGD
    from common.data.batches import Examples
    from common.threat_model import LinfBall
    from common.training.optimizers import Momentum
    from common.training.schedules import Piecewise
    from common.training.settings import Settings
    from common.training.trainer import Data, Trainer

    rng = np.random.default_rng(0)
    examples = Examples(rng.random((16, 6, 6, 2), np.float32), rng.integers(0, 3, 16, np.int32), '')
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
        with strategy.scope():
            network = keras.Sequential([
                keras.Input((6, 6, 2)), keras.layers.Conv2D(4, 3), kind(momentum=0.9),
                keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(3)])
        Trainer(network=network, data=Data(examples), strategy=strategy,
                settings=Settings(train_steps=3, batch_size=16, seed=1, sum_loss=False,
                                  attack=PGD(LinfBall(0.1), 2, 0.05, random_start=False),
                                  optimizer=Momentum(), learning_rate=Piecewise((0.1,)),
                                  crafting='train', log_every=100),
                model_dir=pathlib.Path(sys.argv[2]) / kind.__module__).train()
        np.savez(f'{sys.argv[2]}/{kind.__module__}.npz', *[v.numpy() for v in network.variables])
""")


@pytest.mark.slow
def test_batch_norm_on_two_devices_is_keras(tmp_path):
    root = str(pathlib.Path(__file__).parents[2])
    process = subprocess.run(
        [sys.executable, '-c', MIRRORED, root, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    ours, theirs = (np.load(path) for path in sorted(tmp_path.glob('*.npz')))
    assert len(ours.files) == 8
    for name in ours.files:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
