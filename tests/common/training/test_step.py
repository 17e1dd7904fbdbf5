"""The training step as a function: same arguments, same bits; no other state is used."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data.augmentation import Crops
from common.losses import CrossEntropy, CWMargin
from common.networks.logits import ModelLogits, exact
from common.threat_model import LinfBall
from common.training.explicit import ExplicitLogits
from common.training.objectives import SaddlePoint, Trades
from common.training.optimizers import Adam, Momentum
from common.training.schedules import Piecewise
from common.training.settings import Settings
from common.training.step import Replica, State, Step

SHAPE, CLASSES, BATCH = (6, 6, 1), 3, 8
RNG = np.random.default_rng(0)
X = tf.constant(RNG.random((BATCH, *SHAPE), dtype=np.float32))
Y = tf.constant(RNG.integers(0, CLASSES, BATCH), tf.int32)
ATTACK = PGD(LinfBall(0.2), 12, 0.05)  # with this many steps it is a tf.while_loop
ARGUMENTS = {'seed': 3, 'factor': 0.5, 'learning_rate': 0.1}


def network():
    """A network with every kind of state: batch normalization and dropout."""
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(3, 3, activation='relu', kernel_initializer=init),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dropout(0.3, seed=5),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, kernel_initializer=init),
        ]
    )


def chain():
    """A network of a kind that `rearranged` supports."""
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(3, 3, activation='relu', kernel_initializer=init),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, kernel_initializer=init),
        ]
    )


def settings(**changes):
    return Settings(
        **{
            'train_steps': 5,
            'batch_size': BATCH,
            'seed': 3,
            'learning_rate': Piecewise((0.1,)),
            'optimizer': Adam(),
            'attack': ATTACK,
            'sum_loss': False,
            'weight_averaging': 0.9,
            'weight_decay': 0.01,
            **changes,
        }
    )


def make_step(build=network, **changes):
    return Step(build(), settings(**changes), Crops(1, mirror=True))


CASES = {
    'eval': {},
    'train': {'crafting': 'train'},
    'train_frozen': {'crafting': 'train_frozen', 'optimizer': Momentum()},
    'mixed': {'crafting': 'train', 'attack_dtype': 'bfloat16', 'train_dtype': 'bfloat16'},
    'trades': {'objective': Trades(6.0), 'crafting': 'train'},
    'natural': {'attack': None, 'sum_loss': True},
    'chain': {'build': chain},
    'chain in bfloat16': {'build': chain, 'attack_dtype': 'bfloat16'},
    'XLA': {'build': chain, 'jit_compile': True},
}


@pytest.fixture(params=CASES, scope='module')
def step(request):
    return make_step(**CASES[request.param])


def compiled(step):
    return tf.function(lambda state, x, y: step(state, x, y, **ARGUMENTS), autograph=False)


def assert_same(left, right, **tolerance):
    for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_the_same_arguments_give_the_same_bits_and_change_nothing(step):
    before = [v.numpy() for v in step.network.variables]
    run, state = compiled(step), step.first_state()
    first, second = run(state, X, Y), run(state, X, Y)
    assert_same(first, second, rtol=0, atol=0)
    assert int(first[0].step) == 1
    assert any(np.any(a != b) for a, b in zip(first[0].weights, state.weights, strict=True))
    for value, variable in zip(before, step.network.variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert_same(state, step.first_state(), rtol=0, atol=0)


def test_its_graph_holds_no_variable(step):
    state = step.first_state()
    concrete = compiled(step).get_concrete_function(state, X, Y)
    assert concrete.variables == ()
    assert all(tensor.dtype != tf.resource for tensor, _ in concrete.graph.captures)
    operations = {op.type for op in concrete.graph.get_operations()}
    for function in concrete.graph._functions.values():
        operations |= {node.op for node in function.definition.node_def}
    assert not {op for op in operations if 'VariableOp' in op or 'VarHandle' in op}


@pytest.mark.parametrize('case', ['eval', 'train', 'trades', 'natural', 'chain'])
def test_eager_is_compiled(case):
    # Few steps, since a sign that rounding flips moves a pixel.
    attack = dataclasses.replace(ATTACK, steps=2)
    changes = CASES[case]
    step = make_step(**{'attack': attack, **changes, 'optimizer': Momentum()})
    state = step.first_state()
    assert_same(step(state, X, Y, **ARGUMENTS), compiled(step)(state, X, Y), rtol=1e-4, atol=1e-5)


def test_the_weights_are_the_arguments_not_the_variables(step):
    state = step.first_state()
    expected = compiled(step)(state, X, Y)
    variables = step.network.variables
    before = [v.numpy() for v in variables]
    for variable in variables:
        variable.assign(tf.zeros_like(variable.value))
    try:
        assert_same(compiled(step)(state, X, Y), expected, rtol=1e-6, atol=1e-7)
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def test_natural_metrics_are_of_the_images_before_the_attack():
    step = make_step(attack=None, crafting='train', weight_decay=0.0)
    step.network.layers[2].rate = 0.0
    state = step.first_state()
    seen = step.natural(state, X, Y, seed=3)
    _, metrics = step(state, X, Y, **ARGUMENTS)
    np.testing.assert_array_equal(seen.x, metrics.x)
    np.testing.assert_allclose(seen.loss, metrics.loss, rtol=1e-5)
    assert float(seen.correct) == float(metrics.correct)


def test_seed_step_and_replica_are_what_is_random():
    step = make_step(attack=dataclasses.replace(ATTACK, steps=0))
    state = step.first_state()

    def images(state=state, seed=3, **others):
        return step(state, X, Y, **{**ARGUMENTS, 'seed': seed}, **others)[1].x.numpy()

    later = state._replace(step=state.step + 1)
    kinds = [images(), images(later), images(seed=4), images(replica=Replica(index=1))]
    assert all(np.any(a != b) for i, a in enumerate(kinds) for b in kinds[:i])
    np.testing.assert_array_equal(images(), kinds[0])


def test_two_replicas_that_sum_their_gradients_are_one():
    """Two replicas with half of the batch each, and no batch statistics."""
    changes = {'build': chain, 'attack': None, 'optimizer': Momentum(), 'weight_averaging': 0.0}
    step = make_step(**changes)
    step.augment = None
    state = step.first_state()
    whole, _ = step(state, X, Y, **ARGUMENTS)
    seen = []

    def keep(gradients):
        seen.append(gradients)
        return gradients

    for i, part in enumerate((slice(0, 4), slice(4, 8))):
        step(state, X[part], Y[part], **ARGUMENTS, replica=Replica(i, 2, keep))
    total = [a + b for a, b in zip(*seen, strict=True)]
    both, _ = step(state, X[:4], Y[:4], **ARGUMENTS, replica=Replica(0, 2, lambda _: total))
    assert_same(both.weights, whole.weights, rtol=1e-5, atol=1e-6)


def test_the_first_replicas_statistics_are_kept():
    step = make_step()
    state = step.first_state()
    other = [s + 1 for s in state.statistics]
    after, _ = step(state, X, Y, **ARGUMENTS, replica=Replica(1, 2, first=lambda _: other))
    assert_same(after.statistics, other, rtol=0, atol=0)


def test_only_floating_statistics_are_averaged():
    state = make_step().first_state()
    kinds = {s.dtype.is_floating for s in state.statistics}
    assert kinds == {True, False}  # moving averages, and dropout's generator
    floating = sum(s.dtype.is_floating for s in state.statistics)
    assert len(state.averages) == len(state.weights) + floating
    assert make_step(weight_averaging=0.0).first_state().averages == []


def test_explicit_logits_are_the_networks():
    model = network()
    state = Step(model, settings()).first_state()
    for training in (False, True):
        logits = ExplicitLogits(
            ModelLogits(model, training=training), state.weights, state.statistics
        )
        found, before = logits(X), [v.numpy() for v in model.variables]
        after = logits.carried
        np.testing.assert_allclose(found, model(X, training=training), rtol=1e-5, atol=1e-6)
        for value, variable in zip(after, model.non_trainable_variables, strict=True):
            np.testing.assert_allclose(value, variable, rtol=1e-6)  # which the model has moved
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)


@pytest.mark.parametrize('build', [network, chain])
def test_lower_precision_keeps_the_float32_function_at_hand(build):
    model = build()
    state = Step(model, settings()).first_state()
    rough = ExplicitLogits(ModelLogits(model, 'bfloat16'), state.weights, state.statistics)
    assert exact(rough) is not rough
    np.testing.assert_allclose(exact(rough)(X), model(X), rtol=1e-5, atol=1e-6)
    fine = ExplicitLogits(ModelLogits(model), state.weights, state.statistics)
    assert exact(fine) is fine


def test_a_loss_with_a_floor_counts_in_lower_precision():
    """CW's floor is moved past rounding there, as in every attack."""
    attack = dataclasses.replace(ATTACK, loss=CWMargin(), steps=3)
    step = make_step(build=chain, attack=attack, attack_dtype='bfloat16')
    _, metrics = compiled(step)(step.first_state(), X, Y)
    assert np.isfinite(metrics.x).all()


def test_gradients_are_of_the_objective():
    """A step of plain descent against differences of the loss."""
    step = make_step(
        build=chain, attack=None, optimizer=Momentum(0.0), weight_decay=0.0, objective=SaddlePoint()
    )
    step.augment = None
    state = step.first_state()
    after, _ = step(state, X, Y, **{**ARGUMENTS, 'learning_rate': 1.0})

    def loss(weights):
        logits = ExplicitLogits(ModelLogits(step.network), weights, state.statistics)(X)
        return float(tf.reduce_mean(CrossEntropy()(logits, Y)))

    bump = np.zeros(state.weights[-1].shape, np.float32)
    bump[0] = 1e-2
    up, down = ([*state.weights[:-1], state.weights[-1] + s * bump] for s in (1, -1))
    slope = (loss(up) - loss(down)) / 2e-2
    assert float((state.weights[-1] - after.weights[-1])[0]) == pytest.approx(slope, rel=0.02)


def test_a_state_is_a_structure_of_tensors():
    state = make_step().first_state()
    assert isinstance(state, State)
    assert all(tf.is_tensor(leaf) for leaf in tf.nest.flatten(state))


def test_examples_are_crafted_with_the_network_as_built_if_asked_for():
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, padding='same', activation='relu'),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    for as_built in (False, True):
        crafting = Step(network, settings(as_built=as_built))._craft
        assert (crafting._rearranged('float32') is None) == as_built
