"""Network A and the challenge's TF1 graph are the same function, and exchange weights bit for bit.

The graph is the challenge's model, rebuilt with the operations of `tf.compat.v1` and its scopes.
"""

import numpy as np
import pytest
import tensorflow as tf

from cifar10 import tf1
from cifar10.model import WIDTHS, network_a
from common.errors import UserError
from common.networks import tf1_checkpoint

v1 = tf.compat.v1


class ChallengeGraph:
    """The challenge's network, loss and input gradient, in the current tf.Graph."""

    def __init__(self, width='simple', training=False, dtype=tf.float32):
        self.dtype, self.training, self.updates = dtype, training, []
        self.x = v1.placeholder(dtype, [None, 32, 32, 3])
        self.y = v1.placeholder(tf.int64, [None])
        first, *stages = WIDTHS[width]
        mean, variance = tf.nn.moments(self.x, [1, 2, 3], keepdims=True)
        x = (self.x - mean) / tf.maximum(tf.sqrt(variance), 1 / np.sqrt(3072))
        with v1.variable_scope('input'):
            x = self.convolution('init_conv', x, 3, first, 1)
        channels = first
        for stage, filters in enumerate(stages, 1):
            for unit in range(5):
                with v1.variable_scope(f'unit_{stage}_{unit}'):
                    stride = 2 if stage > 1 and unit == 0 else 1
                    x = self.residual(x, channels, filters, stride, stage == 1 and unit == 0)
                channels = filters
        with v1.variable_scope('unit_last'):
            x = self.relu(self.batch_norm(x))
        x = tf.reduce_mean(x, [1, 2])
        with v1.variable_scope('logit'):
            self.logits = tf.matmul(x, self.variable('DW', [channels, 10])) + self.variable(
                'biases', [10]
            )
        self.loss = tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.y, logits=self.logits)
        )
        (self.gradient,) = tf.gradients(self.loss, self.x)

    def variable(self, name, shape, trainable=True):
        return v1.get_variable(
            name,
            shape,
            self.dtype,
            v1.random_uniform_initializer(0.01, 0.1, seed=1),
            trainable=trainable,
            use_resource=False,
        )

    def convolution(self, name, x, before, filters, stride):
        with v1.variable_scope(name):
            kernel = self.variable('DW', [3, 3, before, filters])
            return tf.nn.conv2d(x, kernel, stride, 'SAME')

    def batch_norm(self, x):
        with v1.variable_scope('BatchNorm'):
            channels = x.shape[-1]
            gamma, beta = (self.variable(name, [channels]) for name in ('gamma', 'beta'))
            moving = [
                self.variable(f'moving_{name}', [channels], trainable=False)
                for name in ('mean', 'variance')
            ]
        mean, variance = moving
        if self.training:
            mean, variance = tf.nn.moments(x, [0, 1, 2])
            self.updates += [
                v1.assign(average, 0.9 * average + 0.1 * value)
                for average, value in zip(moving, (mean, variance), strict=True)
            ]
        return gamma * (x - mean) / tf.sqrt(variance + 0.001) + beta

    @staticmethod
    def relu(x):
        return tf.where(x < 0, 0.1 * x, x)

    def residual(self, x, before, filters, stride, activate_before):
        scope = 'shared_activation' if activate_before else 'residual_only_activation'
        shortcut = x
        with v1.variable_scope(scope):
            x = self.relu(self.batch_norm(x))
        if activate_before:
            shortcut = x
        with v1.variable_scope('sub1'):
            x = self.convolution('conv1', x, before, filters, stride)
        with v1.variable_scope('sub2'):
            x = self.relu(self.batch_norm(x))
            x = self.convolution('conv2', x, filters, filters, 1)
        if before != filters:
            shortcut = tf.nn.avg_pool2d(shortcut, stride, stride, 'VALID')
            added = (filters - before) // 2
            shortcut = tf.pad(shortcut, [[0, 0], [0, 0], [0, 0], [added, added]])
        return x + shortcut


def varied(network):
    """The network with statistics, scales and offsets that all differ."""
    rng = np.random.default_rng(0)
    for variable in network.variables:
        if len(variable.shape) == 1:
            low = {'moving_mean': -0.3, 'beta': -0.3, 'bias': -0.3}.get(variable.name, 0.5)
            variable.assign(rng.uniform(low, low + 0.8, variable.shape).astype(np.float32))
    return network


@pytest.fixture(scope='module')
def network():
    return varied(network_a('simple', seed=1))


@pytest.fixture(scope='module')
def exported(network, tmp_path_factory):
    prefix = tmp_path_factory.mktemp('exported') / 'checkpoint-300'
    tf1.export_checkpoint(network, prefix, global_step=300)
    return prefix


def reference(prefix, x, y, *, width='simple', training=False):
    """Logits and gradient of the challenge's graph in float64, and its moving averages after."""
    reader = tf.train.load_checkpoint(str(prefix))
    with tf.Graph().as_default(), tf.device('/CPU:0'), v1.Session() as session:
        graph = ChallengeGraph(width, training=training, dtype=tf.float64)
        variables = v1.global_variables()
        session.run(
            [v.initializer for v in variables],
            {
                v.initializer.inputs[1]: reader.get_tensor(v.op.name).astype(np.float64)
                for v in variables
            },
        )
        results = session.run([graph.logits, graph.gradient], {graph.x: x, graph.y: y})
        session.run(graph.updates, {graph.x: x})
        moved = session.run({v.op.name: v for v in variables if 'moving' in v.op.name})
    return *results, moved


def errors(found, expected):
    """[batch]: root mean square difference of each image, relative to the expected values'."""
    axes = tuple(range(1, expected.ndim))
    return np.sqrt(
        np.mean((np.asarray(found, np.float64) - expected) ** 2, axes) / np.mean(expected**2, axes)
    )


@pytest.mark.parametrize('training', [False, True], ids=['eval', 'train'])
def test_logits_and_input_gradient_agree_with_the_challenges_graph(network, exported, training):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, 8)
    logits, gradient, moved = reference(exported, x, y, training=training)
    found_network = network_a('simple', seed=2)
    tf1.import_checkpoint(found_network, exported)
    with tf.device('/CPU:0'), tf.GradientTape() as tape:
        pixels = tf.constant(x)
        tape.watch(pixels)
        found = found_network(pixels, training=training)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=found)
    # 33 layers of float32 rounding, 6e-8 each, amplified by the normalizations.
    assert errors(found, logits).max() < 2e-5
    # In most images, some activation is within rounding of 0 and gets the other slope; in training
    # the statistics of the batch spread that to all images.
    error = errors(tape.gradient(loss, pixels), gradient)
    assert error.max() < 2e-2
    assert training or error.min() < 2e-5
    ours = {tf1._name(v.path): v.numpy() for v in found_network.non_trainable_variables}
    assert ours.keys() == moved.keys()
    for name, value in moved.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_wide_network_agrees_with_the_challenges_graph(tmp_path):
    network = varied(network_a('wide', seed=1))
    tf1.export_checkpoint(network, tmp_path / 'checkpoint-1', global_step=1)
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, 4)
    logits, gradient, _ = reference(tmp_path / 'checkpoint-1', x, y, width='wide')
    with tf.device('/CPU:0'), tf.GradientTape() as tape:
        pixels = tf.constant(x)
        tape.watch(pixels)
        found = network(pixels, training=False)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=found)
    assert errors(found, logits).max() < 2e-5
    assert errors(tape.gradient(loss, pixels), gradient).max() < 2e-2


@pytest.mark.parametrize(
    'width, trainable, moving', [('simple', 464_154, 2_272), ('wide', 45_901_914, 22_432)]
)
def test_names_and_shapes_are_those_of_the_challenge(width, trainable, moving):
    with tf.Graph().as_default():
        ChallengeGraph(width)
        expected = {v.op.name: v.shape.as_list() for v in v1.global_variables()}
    network = network_a(width)
    found = {tf1._name(v.path): list(v.shape) for v in network.variables}
    assert len(found) == len(network.variables)
    assert found == expected
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == trainable
    assert sum(np.prod(v.shape) for v in network.non_trainable_variables) == moving


def test_imports_every_bit_of_a_challenge_checkpoint(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        ChallengeGraph()
        # Any gradients will do to create the optimizer's slots.
        train = v1.train.MomentumOptimizer(0.1, 0.9).apply_gradients(
            [(tf.ones_like(v), v) for v in v1.trainable_variables()], global_step=step
        )
        session.run(v1.global_variables_initializer())
        session.run(train)
        prefix = v1.train.Saver().save(session, str(tmp_path / 'checkpoint'), global_step=step)
        values = session.run({v.op.name: v for v in v1.global_variables()})
    network = network_a('simple', seed=5)
    tf1.import_checkpoint(network, prefix)
    for variable in network.variables:
        np.testing.assert_array_equal(variable, values[tf1._name(variable.path)])


def test_the_challenge_restores_what_is_exported(network, exported):
    # As its eval.py does: the model and global_step, from the folder's newest checkpoint.
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        ChallengeGraph()
        v1.train.Saver().restore(session, tf.train.latest_checkpoint(str(exported.parent)))
        values = session.run({v.op.name: v for v in v1.global_variables()})
        assert session.run(step) == 300
    for variable in network.variables:
        np.testing.assert_array_equal(variable, values[tf1._name(variable.path)])


def test_an_import_that_fails_changes_no_weight(exported, tmp_path):
    reader = tf.train.load_checkpoint(str(exported))
    names = [n for n in reader.get_variable_to_shape_map() if n != 'global_step']
    arrays = [np.zeros(11) if n == 'logit/biases' else reader.get_tensor(n) for n in names]
    tf1_checkpoint.write(tmp_path / 'checkpoint-0', names, arrays)
    network = network_a('simple', seed=5)
    before = network.get_weights()
    with pytest.raises(UserError, match=r"'logit/biases'.*\[10\]; found float32 \[11\]"):
        tf1.import_checkpoint(network, tmp_path / 'checkpoint-0')
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_network_of_another_width_is_refused(exported):
    with pytest.raises(UserError, match='Use a checkpoint of this network'):
        tf1.import_checkpoint(network_a('wide'), exported)
