"""Network A and the challenge's TF1 graph are the same function, and exchange weights bit for bit.

The graph is the challenge's model, rebuilt with the operations of `tf.compat.v1`.
"""

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.networks import tf1_checkpoint
from mnist import tf1
from mnist.model import network_a

SHAPES = {
    'Variable': [5, 5, 1, 32],
    'Variable_1': [32],
    'Variable_2': [5, 5, 32, 64],
    'Variable_3': [64],
    'Variable_4': [3136, 1024],
    'Variable_5': [1024],
    'Variable_6': [1024, 10],
    'Variable_7': [10],
}
FLOAT32_ROUNDING = 2.0**-24
# How many products each layer sums, forwards and (from fc2 to conv1) backwards.
FORWARD_TERMS = np.array([25, 800, 3136, 1024])
BACKWARD_TERMS = np.array([10, 1024, 25 * 64, 25 * 32])


class ChallengeGraph:
    """The challenge's network, loss, input gradient and training step, in the current tf.Graph."""

    def __init__(self, dtype=tf.float32):
        self.x = tf.compat.v1.placeholder(dtype, [None, 28, 28, 1])
        self.y = tf.compat.v1.placeholder(tf.int64, [None])
        self.variables, self.pre_activations = [], []
        h = self.x
        for i in (0, 2):
            z = tf.nn.conv2d(h, self.variable(i), 1, 'SAME') + self.variable(i + 1)
            self.pre_activations.append(z)
            h = tf.nn.max_pool2d(tf.nn.relu(z), 2, 2, 'SAME')
        z = tf.matmul(tf.reshape(h, [-1, 3136]), self.variable(4)) + self.variable(5)
        self.pre_activations.append(z)
        self.logits = tf.matmul(tf.nn.relu(z), self.variable(6)) + self.variable(7)
        self.loss = tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.y, logits=self.logits)
        )
        (self.gradient,) = tf.gradients(self.loss, self.x)

    def variable(self, i):
        assert i == len(self.variables)
        shape = list(SHAPES.values())[i]
        initial = (
            tf.fill(shape, tf.cast(0.1, self.x.dtype))
            if len(shape) == 1
            else tf.random.truncated_normal(shape, stddev=0.1, seed=i, dtype=self.x.dtype)
        )
        self.variables.append(tf.compat.v1.Variable(initial, use_resource=False))
        return self.variables[-1]

    def evaluate(self, values, x, y):
        """Logits, input gradient and pre-activations with these values of the variables."""
        feed = dict(zip(self.variables, values, strict=True))
        with tf.compat.v1.Session() as session:
            return session.run(
                [self.logits, self.gradient, self.pre_activations], {**feed, self.x: x, self.y: y}
            )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Prefix of a checkpoint written by TF1's Saver after two Adam steps, and what it holds."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf.device('/CPU:0'), tf.compat.v1.Session() as session:
        step = tf.compat.v1.train.get_or_create_global_step()
        graph = ChallengeGraph()
        train = tf.compat.v1.train.AdamOptimizer(1e-2).minimize(graph.loss, global_step=step)
        session.run(tf.compat.v1.global_variables_initializer())
        for _ in range(2):
            session.run(train, {graph.x: rng.random((4, 28, 28, 1)), graph.y: [3, 1, 4, 1]})
        prefix = tf.compat.v1.train.Saver().save(
            session, str(tmp_path_factory.mktemp('challenge') / 'checkpoint'), global_step=step
        )
        return prefix, session.run(graph.variables)


@pytest.fixture
def random_network():
    """Network A with weights and biases that all differ."""
    network = network_a(seed=1)
    rng = np.random.default_rng(2)
    for variable in network.trainable_variables:
        noise = rng.normal(scale=0.02, size=variable.shape)
        variable.assign(variable.numpy() + noise.astype(np.float32))
    return network


def weights(network):
    return [variable.numpy() for variable in network.trainable_variables]


def assert_equal_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_saved_checkpoint_has_the_variables_of_the_released_ones(trained):
    slots = {
        f'{name}{slot}': shape
        for name, shape in SHAPES.items()
        for slot in ('', '/Adam', '/Adam_1')
    }
    counters = {'beta1_power': [], 'beta2_power': [], 'global_step': []}
    assert dict(tf.train.list_variables(trained[0])) == {**slots, **counters}


def test_names_and_shapes_are_those_of_the_network():
    assert list(tf1.NAMES) == list(SHAPES)
    assert [list(v.shape) for v in network_a().trainable_variables] == list(SHAPES.values())


def test_imports_every_bit_of_a_challenge_checkpoint(trained):
    prefix, values = trained
    network = network_a(seed=5)
    tf1.import_checkpoint(network, prefix)
    assert_equal_bits(weights(network), values)


def test_exports_and_imports_every_bit(random_network, tmp_path):
    tf1.export_checkpoint(random_network, tmp_path / 'checkpoint-300', global_step=300)
    found = network_a(seed=5)
    tf1.import_checkpoint(found, tmp_path / 'checkpoint-300')
    assert_equal_bits(weights(found), weights(random_network))


def test_the_challenge_restores_what_is_exported(random_network, tmp_path):
    # As its eval.py does: the model and global_step, from the folder's newest checkpoint.
    tf1.export_checkpoint(random_network, tmp_path / 'checkpoint-300', global_step=300)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.train.get_or_create_global_step()
        graph = ChallengeGraph()
        tf.compat.v1.train.Saver().restore(session, tf.train.latest_checkpoint(str(tmp_path)))
        found, found_step = session.run([graph.variables, step])
    assert found_step == 300
    assert_equal_bits(found, weights(random_network))


def rms(array):
    return np.sqrt(np.mean(np.square(array)))


def logits_tolerance(logits):
    """Rounding of a sum of n products is about sqrt(n) units of the sum, and layers add up.

    The factor 8 is 6 standard deviations of the difference of two such computations.
    """
    return 8 * FLOAT32_ROUNDING * np.sqrt(FORWARD_TERMS).sum() * rms(logits)


def gradient_tolerance(logits, gradient):
    """The backward sums round in the same way; probabilities change no more than the logits."""
    backward = 8 * FLOAT32_ROUNDING * np.sqrt(BACKWARD_TERMS).sum()
    return (backward + logits_tolerance(logits)) * rms(gradient)


def distance_to_kinks(z):
    """[batch]: distance of the pre-activations from the kinks of ReLU and max-pooling.

    z: [batch, h, w, c] before ReLU and 2x2 max-pooling, or [batch, units] before ReLU.
    """
    if z.ndim == 2:
        return np.abs(z).min(axis=1)
    batch, h, w, channels = z.shape
    windows = z.reshape(batch, h // 2, 2, w // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    ordered = np.sort(windows.reshape(batch, -1, 4), axis=2)
    first, second = ordered[..., 3], ordered[..., 2]
    # Where ReLU silences the whole window, it does not matter which pixel is the largest.
    return np.where(first > 0, np.minimum(first, first - second), -first).min(axis=1)


def images_clear_of_kinks(values, x, y):
    """Indices of images so far from any kink that rounding cannot change their gradient's side."""
    with tf.Graph().as_default(), tf.device('/CPU:0'):
        layers = ChallengeGraph(tf.float64).evaluate(values, x, y)[2]
    rounding = 8 * FLOAT32_ROUNDING * np.sqrt(FORWARD_TERMS).cumsum()
    return np.flatnonzero(
        np.all(
            [distance_to_kinks(z) > r * rms(z) for z, r in zip(layers, rounding, strict=False)],
            axis=0,
        )
    )


def test_logits_and_input_gradient_agree_with_the_challenges_graph(random_network):
    rng = np.random.default_rng(3)
    x = rng.random((40, 28, 28, 1), dtype=np.float32)
    y = rng.integers(0, 10, 40)
    values = weights(random_network)
    clear = images_clear_of_kinks(values, x, y)
    assert len(clear) >= 10
    x, y = x[clear], y[clear]
    with tf.Graph().as_default(), tf.device('/CPU:0'):
        logits, gradient, _ = ChallengeGraph().evaluate(values, x, y)
    with tf.device('/CPU:0'), tf.GradientTape() as tape:
        pixels = tf.constant(x)
        tape.watch(pixels)
        found = random_network(pixels)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=found)
    found_gradient = tape.gradient(loss, pixels)
    np.testing.assert_allclose(found, logits, rtol=0, atol=logits_tolerance(logits))
    np.testing.assert_allclose(
        found_gradient, gradient, rtol=0, atol=gradient_tolerance(logits, gradient)
    )


def test_an_import_that_fails_changes_no_weight(random_network, tmp_path):
    values = weights(random_network)
    values[7] = np.zeros(11, np.float32)
    tf1_checkpoint.write(tmp_path / 'checkpoint-0', tf1.NAMES, values)
    network = network_a(seed=5)
    before = weights(network)
    with pytest.raises(UserError, match=r"'Variable_7'.* float32 \[10\]; found float32 \[11\]"):
        tf1.import_checkpoint(network, tmp_path / 'checkpoint-0')
    assert_equal_bits(weights(network), before)


def test_a_network_of_another_width_is_refused(trained):
    with pytest.raises(UserError, match=r"'Variable'.*\[5, 5, 1, 4\]; found .*\[5, 5, 1, 32\]"):
        tf1.import_checkpoint(network_a((4, 8), 16), trained[0])


def test_other_widths_make_the_round_trip(tmp_path):
    network, found = network_a((4, 8), 16, seed=1), network_a((4, 8), 16, seed=2)
    tf1.export_checkpoint(network, tmp_path / 'checkpoint-0')
    tf1.import_checkpoint(found, tmp_path / 'checkpoint-0')
    assert_equal_bits(weights(found), weights(network))


def test_a_model_that_cannot_be_network_a_is_a_programmers_mistake(tmp_path):
    network = network_a((4, 8), 16)
    network.pop()
    with pytest.raises(ValueError, match='8 trainable variables'):
        tf1.import_checkpoint(network, tmp_path / 'checkpoint-0')
    with pytest.raises(ValueError, match='8 trainable variables'):
        tf1.export_checkpoint(network, tmp_path / 'checkpoint-0')
