"""Checkpoints written before optimizers became functions can still be read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.batches import Examples
from common.errors import UserError
from common.networks.weights import averaged_variables
from common.training.optimizers import Adam, Momentum
from common.training.schedules import Piecewise
from common.training.settings import Settings
from common.training.trainer import Data, Trainer

RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.random((12, 5, 1, 1), dtype=np.float32), RNG.integers(0, 3, 12).astype(np.int32), 'noise'
)
STEPS = 3


def build():
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input((5, 1, 1)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.Dense(4, kernel_initializer=init),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, kernel_initializer=init),
        ]
    )


def make_trainer(folder, optimizer=Adam(), network=None, train_steps=2 * STEPS):
    settings = Settings(
        train_steps=train_steps,
        batch_size=4,
        seed=0,
        learning_rate=Piecewise((0.1,)),
        optimizer=optimizer,
        weight_averaging=0.9,
        checkpoint_every=STEPS,
    )
    return Trainer(
        network=network or build(), settings=settings, data=Data(EXAMPLES), model_dir=folder
    )


class KerasMomentum(keras.optimizers.Optimizer):
    """The optimizer of this project before optimizers became functions."""

    def build(self, variables):
        super().build(variables)
        self._velocities = [self.add_variable_from_reference(v, name='velocity') for v in variables]


def as_it_was_written(trainer, folder, optimizer):
    """The trainer's present state in the form that checkpoints had with an optimizer of Keras."""
    network, state = trainer.network, trainer._state.variables
    optimizer.build(network.trainable_variables)
    optimizer.iterations.assign(state.step)
    slots = optimizer.variables[2:]  # after iterations and learning rate
    for variable, value in zip(slots, state.slots, strict=True):
        variable.assign(value)
    checkpoint = tf.train.Checkpoint(
        model=network,
        fixed=list(network.non_trainable_variables),
        optimizer=optimizer,
        average=state.averages,
        step=state.step,
        best=trainer._best,
    )
    manager = tf.train.CheckpointManager(
        checkpoint, str(folder), max_to_keep=3, checkpoint_name='checkpoint'
    )
    manager.save(checkpoint_number=STEPS)


def keras_optimizer(optimizer):
    if isinstance(optimizer, Momentum):
        return KerasMomentum(learning_rate=0.1)
    return keras.optimizers.Adam(0.1, epsilon=1e-8)


@pytest.mark.parametrize('optimizer', [Adam(), Momentum()])
def test_a_run_begun_with_an_optimizer_of_keras_goes_on(tmp_path, capsys, optimizer):
    whole = make_trainer(tmp_path / 'whole', optimizer)
    whole.train()
    half = make_trainer(tmp_path / 'half', optimizer, train_steps=STEPS)
    half.train()
    (tmp_path / 'old').mkdir()
    as_it_was_written(half, tmp_path / 'old', keras_optimizer(optimizer))
    capsys.readouterr()
    rest = make_trainer(tmp_path / 'old', optimizer)
    rest.train()
    assert f'resuming from step {STEPS} of {2 * STEPS}' in capsys.readouterr().out
    for a, b in zip(
        tf.nest.flatten(whole._state.variables), tf.nest.flatten(rest._state.variables), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert len(averaged_variables(rest.network)) == len(rest._state.variables.averages)


def test_one_of_another_optimizer_is_refused_in_words(tmp_path):
    half = make_trainer(tmp_path, Momentum(), train_steps=STEPS)
    as_it_was_written(half, tmp_path, KerasMomentum(learning_rate=0.1))
    with pytest.raises(UserError, match='checkpoint-3 is damaged or of another network: '):
        make_trainer(tmp_path, Adam()).train()
