"""Training networks with batch statistics: modes, precision, decay, augmentation."""

import csv
import dataclasses
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data.batches import Examples, ShuffledBatches
from common.networks.registry import Networks
from common.threat_model import LinfBall
from common.training.optimizers import Momentum
from common.training.schedules import Piecewise
from common.training.settings import Settings
from common.training.trainer import Data, Trainer

SHAPE, CLASSES, MOMENTUM = (4, 4, 1), 3, 0.9
RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.random((64, *SHAPE), dtype=np.float32), RNG.integers(0, CLASSES, 64).astype(np.int32), 'x'
)
ALL = {
    'train_steps': 1,
    'batch_size': 64,
    'seed': 1,
    'sum_loss': False,
    'log_every': 100,
    'learning_rate': Piecewise((0.1,)),
    'optimizer': Momentum(),
}


def build():
    """Normalizes the pixels first, so that the moving averages are known."""
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
            keras.layers.Conv2D(3, 3, activation='relu', kernel_initializer=init),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, kernel_initializer=init),
        ]
    )


def pgd(steps, epsilon=1e-6):
    """So small by default that every adversarial batch has the batch's own statistics."""
    return PGD(LinfBall(epsilon), steps, epsilon, random_start=False)


def make_trainer(folder, *, augment=None, model=None, **settings):
    return Trainer(
        network=model or build(),
        settings=Settings(**{**ALL, **settings}),
        data=Data(EXAMPLES, augment=augment),
        model_dir=folder,
    )


def trained(folder, **settings):
    trainer = make_trainer(folder, **settings)
    trainer.train()
    return trainer.network


def updates(model):
    """How often the moving mean was updated; the batch is the whole data set."""
    left = 1 - model.layers[0].moving_mean.numpy()[0] / EXAMPLES.x.mean()
    return np.log(left) / np.log(MOMENTUM)


# 20 steps are a tf.while_loop, 3 are not.
@pytest.mark.parametrize('steps', [3, 20])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('crafting', ['train', 'train_frozen', 'eval'])
def test_moving_averages_move_with_every_gradient_as_in_the_challenge(
    tmp_path, steps, dtype, crafting
):
    model = trained(tmp_path, attack=pgd(steps), crafting=crafting, attack_dtype=dtype)
    expected = steps + 1 if crafting == 'train' else 1
    assert updates(model) == pytest.approx(expected, rel=1e-3 if dtype == 'float32' else 0.02)


@pytest.mark.parametrize(
    'crafting, training', [('train', True), ('train_frozen', True), ('eval', False)]
)
def test_examples_are_crafted_with_the_network_that_crafting_names(tmp_path, crafting, training):
    @dataclasses.dataclass(frozen=True)
    class MeanLogit:
        gradients: int = 0

        def scaled(self, factor):
            return self

        def perturb(self, logits_fn, x, y, *, seed):
            return x + tf.reduce_mean(logits_fn(x))

    reference = build()
    order = ShuffledBatches(64, 64, ALL['seed'])(0)
    expected = EXAMPLES.x[order] + np.mean(reference(EXAMPLES.x[order], training=training))
    images = []
    trainer = make_trainer(tmp_path, attack=MeanLogit(), crafting=crafting)
    step = trainer._train_step
    trainer._train_step = lambda *args: images.append(step(*args)) or images[-1]
    trainer.train()
    np.testing.assert_allclose(images[0][2], expected, rtol=1e-4, atol=1e-5)


def test_weight_decay_pulls_kernels_and_nothing_else(tmp_path):
    start = build()
    free, decayed = (trained(tmp_path / str(decay), weight_decay=decay) for decay in (0.0, 0.3))
    for before, without, with_decay in zip(
        start.trainable_variables,
        free.trainable_variables,
        decayed.trainable_variables,
        strict=True,
    ):
        pull = 0.1 * 0.3 * before.numpy() if before.name == 'kernel' else 0
        np.testing.assert_allclose(with_decay, without - pull, rtol=1e-5, atol=1e-6)


def test_mixed_precision_rounds_the_pass_and_not_the_weights(tmp_path):
    exact, mixed = (
        trained(tmp_path / dtype, train_dtype=dtype) for dtype in ('float32', 'bfloat16')
    )
    start = build()
    for before, a, b in zip(
        start.trainable_variables, exact.trainable_variables, mixed.trainable_variables, strict=True
    ):
        assert b.dtype == 'float32'
        step, other = a.numpy() - before.numpy(), b.numpy() - before.numpy()
        assert np.any(step != other)
        assert np.linalg.norm(step - other) < 0.05 * np.linalg.norm(step)
    assert updates(mixed) == pytest.approx(1, rel=0.02)


def test_xla_trains_the_same_network(tmp_path):
    plain, compiled = (
        trained(
            tmp_path / str(jit),
            attack=pgd(2, 0.1),
            train_steps=3,
            crafting='train',
            jit_compile=jit,
        ).get_weights()
        for jit in (False, True)
    )
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_augmentation_comes_before_the_attack_and_differs_from_step_to_step(tmp_path):
    seeds, shown = [], []

    def brighten(x, seed):
        tf.py_function(lambda s: seeds.append(tuple(s.numpy())), [seed], [])
        return x + 5

    trainer = make_trainer(tmp_path, attack=pgd(1, epsilon=0.25), augment=brighten, train_steps=3)
    step = trainer._train_step
    trainer._train_step = lambda *args: shown.append(step(*args)) or shown[-1]
    trainer.train()
    assert len(set(seeds)) == 3
    for _, _, x_adv in shown:
        # The attack clips to [0, 1], whatever the augmentation did to the pixels.
        assert 0.75 - 1e-6 <= x_adv.numpy().min() and x_adv.numpy().max() <= 1


def test_logged_natural_accuracy_is_of_what_the_adversary_starts_from(tmp_path):
    """Augmented, and by the network with the batch's statistics."""

    def blank(x, seed):
        return 0 * x

    seen = []
    for augment in (None, blank):
        folder = tmp_path / str(augment is None)
        trained(
            folder,
            model=build_with(1e4),
            augment=augment,
            train_steps=1,
            crafting='train',
            learning_rate=Piecewise((0.0,)),
            log_every=1,
        )
        with open(folder / 'log.csv', newline='') as file:
            row = next(csv.DictReader(file))
        seen.append((row['accuracy_nat'], row['loss_nat'], row['loss_adv']))
    assert seen[0][1] != seen[1][1]  # the augmentation reaches it
    for _, natural, adversarial in seen:
        assert float(natural) == pytest.approx(float(adversarial), rel=1e-4)  # no adversary here


def build_with(moving_mean):
    model = build()
    model.layers[0].moving_mean.assign([moving_mean])
    return model


def test_averaging_covers_the_statistics_too(tmp_path):
    model = trained(
        tmp_path,
        attack=pgd(3),
        train_steps=6,
        weight_averaging=0.5,
        crafting='train',
        checkpoint_every=6,
    )
    averaged = build()
    averaged.load_weights(tmp_path / 'last.weights.h5')
    now, average = (m.layers[0].moving_mean.numpy()[0] for m in (model, averaged))
    value, expected = 0.0, 0.0
    for step in range(6):
        value += (EXAMPLES.x.mean() - value) * (1 - MOMENTUM**4)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert now == pytest.approx(value, rel=1e-4)
    assert average == pytest.approx(expected, rel=1e-4)
    networks = Networks('toy', lambda config: build(), [{}], None, released=tmp_path)
    found = networks.load(str(tmp_path / 'checkpoint-6'))
    for a, b in zip(found.variables, averaged.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_in_two_parts_is_the_same_run(tmp_path):
    settings = {
        'attack': pgd(2, 0.1),
        'crafting': 'train',
        'attack_dtype': 'bfloat16',
        'train_dtype': 'bfloat16',
        'weight_decay': 0.01,
        'batch_size': 12,
        'drop_remainder': True,
        'checkpoint_every': 3,
        'weight_averaging': 0.5,
    }
    whole = trained(tmp_path / 'whole', train_steps=8, **settings)
    trained(tmp_path / 'parts', train_steps=3, **settings)
    parts = trained(tmp_path / 'parts', train_steps=8, **settings)
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


MIRRORED = textwrap.dedent("""
    import pathlib, sys
    import tensorflow as tf
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    sys.path[:0] = [sys.argv[1], sys.argv[2]]
    import test_batch_norm as t

    folder = pathlib.Path(sys.argv[3])
    means = []
    for steps, crafting in ((3, 'train'), (12, 'train'), (3, 'train_frozen')):
        strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
        with strategy.scope():
            model = t.build()
        t.Trainer(network=model, data=t.Data(t.EXAMPLES), model_dir=folder / f'{steps}{crafting}',
                  settings=t.Settings(**{**t.ALL, 'weight_decay': 0.1}, attack=t.pgd(steps),
                                      crafting=crafting), strategy=strategy).train()
        print('UPDATES', float(t.updates(model)))
""")


@pytest.mark.slow
def test_two_devices_and_their_statistics(tmp_path):
    here = pathlib.Path(__file__)
    process = subprocess.run(
        [sys.executable, '-c', MIRRORED, str(here.parents[3]), str(here.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    found = [
        float(line.split()[1]) for line in process.stdout.splitlines() if line.startswith('UPDATES')
    ]
    # The first device's, which come close to everything's with half of the images.
    assert found == pytest.approx([4, 13, 1], rel=0.1)
