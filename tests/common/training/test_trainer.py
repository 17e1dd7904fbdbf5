"""The training loop: resumed runs repeat every bit, whatever stopped them; known optimizer steps.

Tiny networks learn 4x4 images of noise whose class is where the light is.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

import common.files
import common.training.log
import common.training.trainer
from common.attacks import PGD
from common.data.batches import Examples, ShuffledBatches
from common.errors import UserError
from common.networks.registry import Networks
from common.threat_model import LinfBall
from common.training import progress
from common.training.log import Log
from common.training.objectives import SaddlePoint, Trades
from common.training.optimizers import Adam, Momentum
from common.training.schedules import Cosine, LinearRise, Piecewise
from common.training.settings import Settings
from common.training.trainer import Data, Trainer
from common.training.validation import Validation

SHAPE, CLASSES, SEED = (4, 4, 1), 3, 11
ATTACK = PGD(LinfBall(0.2), steps=2, step_size=0.15)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop may catch it."""


@pytest.fixture(autouse=True, scope='module')
def _deterministic():
    tf.config.experimental.enable_op_determinism()
    yield
    tf_config.disable_op_determinism()


def make_examples(n, seed=0, name='noise'):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n).astype(np.int32)
    x = rng.random((n, *SHAPE), dtype=np.float32) * 0.5
    x[np.arange(n), y, y] += 0.5
    return Examples(x, y, name)


EXAMPLES, HELD_OUT = make_examples(64), make_examples(32, seed=1)


def build(dropout=False):
    def dense(units, seed, **kwargs):
        return keras.layers.Dense(
            units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed), **kwargs
        )

    layers = [
        keras.Input(SHAPE),
        keras.layers.Flatten(),
        dense(6, 1, activation='relu'),
        dense(CLASSES, 2),
    ]
    if dropout:
        layers.insert(1, keras.layers.Dropout(0.2, seed=3))
        layers.insert(4, keras.layers.Dropout(0.5, seed=4))
    return keras.Sequential(layers)


def make_trainer(
    folder,
    *,
    attack=ATTACK,
    dropout=False,
    adam=False,
    validation=None,
    examples=EXAMPLES,
    model=None,
    objective=SaddlePoint(),
    **settings,
):
    settings = {
        'train_steps': 10,
        'batch_size': 8,
        'seed': SEED,
        'learning_rate': Piecewise((0.02,)),
        'log_every': 2,
        'checkpoint_every': 3,
        **settings,
    }
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(
        network=model or build(dropout),
        settings=Settings(
            optimizer=Adam() if adam else Momentum(), attack=attack, objective=objective, **settings
        ),
        data=Data(examples, validation),
        model_dir=folder,
    )


@dataclasses.dataclass(frozen=True)
class At:
    """A learning rate that does something at one step."""

    step: int
    act: object
    schedule: object = Piecewise((0.02,))

    def __call__(self, step):
        if step == self.step:
            result = self.act()
            return self.schedule(step) if result is None else result
        return self.schedule(step)


def kill():
    raise Killed


def log_rows(folder):
    with open(pathlib.Path(folder) / 'log.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row['examples_per_second']
    return rows


def tensors(folder, step=10):
    """Everything that a checkpoint holds, except how often the process saved."""
    reader = tf.train.load_checkpoint(str(pathlib.Path(folder) / f'checkpoint-{step}'))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(('_CHECKPOINTABLE', 'save_counter'))
    }


def weights(folder, name='last', dropout=False):
    model = build(dropout)
    model.load_weights(pathlib.Path(folder) / f'{name}.weights.h5')
    return model.get_weights()


def assert_same_run(folder, other, dropout=False, best=False):
    """Equal to the last bit: weights, optimizer, averages, random state, files, log."""
    left, right = tensors(folder), tensors(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)
    for name in ('last', 'best') if best else ('last',):
        for a, b in zip(weights(folder, name, dropout), weights(other, name, dropout), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert log_rows(folder) == log_rows(other)


CASES = {
    'natural': {'attack': None},
    'pgd': {'adam': True},
    'dropout': {'attack': None, 'dropout': True, 'weight_averaging': 0.9},
    'validation': {'attack': None, 'validation': Validation(HELD_OUT, None), 'validate_every': 3},
    'everything': {
        'validation': Validation(HELD_OUT, ATTACK, 20),
        'validate_every': 4,
        'dropout': True,
        'adam': True,
        'weight_averaging': 0.5,
        'epsilon_factor': LinearRise(8),
        'sum_loss': False,
        'attack_dtype': 'bfloat16',
        'learning_rate': Cosine(0.02, 10, 2),
        'log_every': 1,
        'batch_size': 12,
    },
}


@pytest.fixture(scope='module')
def run_of(tmp_path_factory):
    """(name of a case, killed at) -> model folder, made once; None is not killed."""
    folders = {}

    def run(case, killed_at=None):
        if (case, killed_at) not in folders:
            folder = folders[case, killed_at] = tmp_path_factory.mktemp('run')
            settings = dict(CASES[case])
            if killed_at is None:
                make_trainer(folder, **settings).train()
            else:
                killed_run(folder, killed_at, **settings)
        return folders[case, killed_at]

    return run


def killed_run(folder, step=8, **settings):
    schedule = settings.pop('learning_rate', Piecewise((0.02,)))
    with pytest.raises(Killed):
        make_trainer(folder, learning_rate=At(step, kill, schedule), **settings).train()


@pytest.fixture
def killed(tmp_path, run_of):
    """A natural run whose checkpoints are those of steps 3 and 6, killed at step 8."""
    return shutil.copytree(run_of('natural', 8), tmp_path / 'killed')


def finish(folder, case='natural'):
    make_trainer(folder, **CASES[case]).train()


@pytest.mark.parametrize(
    'case, settings',
    [*((case, {'checkpoint_every': 5}) for case in CASES), ('everything', {'checkpoint_every': 3})],
)
def test_ten_steps_are_five_and_five(tmp_path, run_of, case, settings):
    settings = {**CASES[case], **settings}
    killed_run(tmp_path, 5 if settings['checkpoint_every'] == 5 else 8, **settings)
    make_trainer(tmp_path, **settings).train()
    assert_same_run(
        run_of(case), tmp_path, settings.get('dropout', False), best='validation' in settings
    )


def test_the_network_learns(tmp_path):
    make_trainer(
        tmp_path,
        train_steps=200,
        attack=PGD(LinfBall(0.05), 2, 0.04),
        log_every=199,
        checkpoint_every=1000,
        adam=True,
    ).train()
    first, last = log_rows(tmp_path)
    assert float(first['accuracy_adv']) < 0.6
    assert float(last['accuracy_adv']) >= 0.9
    assert float(last['loss_adv']) < float(first['loss_adv']) / 2


class Doubled(keras.Sequential):
    """Keras clones it as an ordinary Sequential, which is another network."""

    def call(self, x, training=False):
        return 2 * super().call(x, training=training)


class Wrapped(keras.Model):
    """A network that Keras cannot clone, unbuilt."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, x, training=False):
        return 2 * self.network(x, training=training)


def test_networks_that_keras_cannot_clone(tmp_path):
    """They are evaluated with averaged weights all the same, and go on with their own."""
    settings = {
        'train_steps': 6,
        'validation': Validation(HELD_OUT, ATTACK, 20),
        'validate_every': 2,
        'weight_averaging': 0.9,
        'learning_rate': Piecewise((0.5,)),
        'log_every': 1,
    }
    rows, best = {}, {}
    for name, model in (
        ('wrapped', Wrapped(build())),
        ('sequential', Doubled([keras.Input(SHAPE), *build().layers])),
    ):
        make_trainer(tmp_path / name, model=model, **settings).train()
        rows[name] = log_rows(tmp_path / name)
        model.load_weights(tmp_path / name / 'best.weights.h5')
        best[name] = model
    assert rows['wrapped'] == rows['sequential']
    found = [
        float(row['validation_accuracy_nat'])
        for row in rows['wrapped']
        if row.get('validation_accuracy_nat')
    ]
    assert len(found) == 3
    for model in best.values():
        right = model.predict(HELD_OUT.x, verbose=0).argmax(axis=1) == HELD_OUT.y
        assert right.mean() in found


def crash(monkeypatch, owner, name, call):
    """Lets the function `owner.name` stop everything when it is called for the `call`-th time."""
    original, calls = getattr(owner, name), []

    def function(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, function)


@pytest.mark.parametrize(
    'owner, name, call',
    [
        # Each save calls _record_state twice: with the new checkpoint listed, then without the old.
        (tf.train.CheckpointManager, '_record_state', 1),
        pytest.param(tf.train.CheckpointManager, '_record_state', 2, marks=pytest.mark.slow),
        (tf.train.CheckpointManager, '_record_state', 5),
        pytest.param(tf.train.CheckpointManager, '_record_state', 8, marks=pytest.mark.slow),
        pytest.param(common.training.trainer, 'save_weights', 2, marks=pytest.mark.slow),
        (common.training.trainer, 'save_weights', 5),
        (common.files.os, 'replace', 1),
        (common.files.os, 'replace', 3),
        (common.training.log.Log, 'write', 5),
    ],
)
def test_killed_while_files_are_written(tmp_path, monkeypatch, run_of, owner, name, call):
    with monkeypatch.context() as patch:
        crash(patch, owner, name, call)
        with pytest.raises(Killed):
            finish(tmp_path, 'validation')
    finish(tmp_path, 'validation')
    assert_same_run(run_of('validation'), tmp_path, best=True)


@pytest.mark.parametrize(
    'owner, name, call',
    [
        (csv.DictWriter, 'writerows', 1),  # in the new log.csv
        (common.files.os, 'replace', 1),  # of the old one by it
        (common.files.os, 'replace', 2),  # of the weights
    ],
)
def test_killed_again_while_resuming(killed, monkeypatch, run_of, owner, name, call):
    with monkeypatch.context() as patch:
        crash(patch, owner, name, call)
        with pytest.raises(Killed):
            finish(killed)
    finish(killed)
    assert_same_run(run_of('natural'), killed)


def test_a_log_that_is_longer_than_the_checkpoints(killed, run_of):
    """Rows of steps that will be repeated must be removed."""
    assert [row['step'] for row in log_rows(killed)] == ['0', '2', '4', '6']
    for path in killed.glob('checkpoint-6.*'):
        path.unlink()
    finish(killed)
    assert_same_run(run_of('natural'), killed)


@pytest.mark.parametrize('share', [0, 0.9])
def test_killed_inside_the_first_checkpoint(tmp_path, run_of, share):
    """The index of a checkpoint that is not listed yet may be incomplete."""
    killed_run(tmp_path, 5, **CASES['natural'])
    index = tmp_path / 'checkpoint-3.index'
    contents = index.read_bytes()
    index.write_bytes(contents[: int(share * len(contents))])
    (tmp_path / 'checkpoint').unlink()
    (tmp_path / 'last.weights.h5').unlink()
    finish(tmp_path)
    assert_same_run(run_of('natural'), tmp_path)


def test_killed_inside_a_later_checkpoint(killed, run_of):
    (killed / 'checkpoint-9.index').write_bytes(b'half')
    (killed / 'checkpoint-9_temp').mkdir()
    (killed / 'checkpoint-9_temp' / 'part-00000-of-00001.index').write_bytes(b'half')
    (killed / '.last.weights.h5.abc123.weights.h5').write_bytes(b'half')
    (killed / '.log.csv.abc123').write_bytes(b'half')
    (killed / '.of_somebody_else').write_bytes(b'whole')
    finish(killed)
    assert_same_run(run_of('natural'), killed)
    assert {
        p.name for p in killed.iterdir() if not p.name.startswith(('events', 'checkpoint-'))
    } == {'checkpoint', 'last.weights.h5', 'log.csv', '.of_somebody_else'}
    assert not list(killed.glob('*_temp'))


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in pathlib.Path(folder).glob('checkpoint*')}


def test_a_restored_checkpoint_is_not_written_again(tmp_path):
    """If killed in the middle of that, the run would lose its only checkpoint."""
    killed_run(tmp_path, 6, attack=None)
    before = stamps(tmp_path)
    assert 'checkpoint-6.index' in before
    killed_run(tmp_path, 6, attack=None)
    assert stamps(tmp_path) == before


def test_a_finished_run_only_completes_its_weights(tmp_path, run_of):
    folder = shutil.copytree(run_of('natural'), tmp_path / 'finished')
    (folder / 'last.weights.h5').unlink()  # as if killed between checkpoint and weights
    before = stamps(folder)
    finish(folder)
    assert stamps(folder) == before
    assert_same_run(run_of('natural'), folder)


def test_the_last_three_checkpoints_stay(tmp_path):
    killed_run(tmp_path, 7, attack=None, checkpoint_every=2)
    assert sorted(p.name for p in tmp_path.glob('*.index')) == [
        'checkpoint-2.index',
        'checkpoint-4.index',
        'checkpoint-6.index',
    ]
    make_trainer(tmp_path, attack=None, checkpoint_every=2).train()
    for ending in ('index', 'data-00000-of-00001'):
        assert sorted(p.name for p in tmp_path.glob(f'checkpoint-*.{ending}')) == [
            f'checkpoint-{step}.{ending}' for step in (10, 6, 8)
        ]


def test_a_moved_folder_resumes(killed, tmp_path, run_of):
    shutil.move(killed, tmp_path / 'there')
    finish(tmp_path / 'there')
    assert_same_run(run_of('natural'), tmp_path / 'there')


# Damage.


def refusal(folder, **settings):
    with pytest.raises(UserError) as caught:
        make_trainer(folder, **{'attack': None, **settings}).train()
    message = str(caught.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize('suffix', ['.index', '.data-00000-of-00001'])
@pytest.mark.parametrize('share', [0, 0.5])
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(killed, run_of, suffix, share):
    newest = killed / 'checkpoint-6'
    path = pathlib.Path(f'{newest}{suffix}')
    contents = path.read_bytes()
    path.write_bytes(contents[: int(share * len(contents))])
    log = (killed / 'log.csv').read_text()
    message = refusal(killed)
    assert f'the checkpoint {newest} is damaged' in message
    assert f'Remove the files {newest}.* to resume from checkpoint-3' in message
    assert (killed / 'log.csv').read_text() == log
    for path in killed.glob('checkpoint-6.*'):
        path.unlink()
    finish(killed)
    assert_same_run(run_of('natural'), killed)


def test_the_only_checkpoint_is_damaged(killed):
    for path in (*killed.glob('checkpoint-3.*'), *killed.glob('checkpoint-6.data*')):
        path.unlink()
    message = refusal(killed)
    assert str(killed / 'checkpoint-6') in message
    assert f'Remove {killed} to begin again' in message


def test_all_listed_checkpoints_are_missing(killed):
    for path in killed.glob('checkpoint-*'):
        path.unlink()
    assert 'checkpoint-6' in refusal(killed)


@pytest.mark.parametrize('contents', [b'', b'model_checkpoint_path: "check', b'\xff\xfe\x00'])
def test_a_damaged_list_of_checkpoints_does_not_begin_again(killed, contents):
    (killed / 'checkpoint').write_bytes(contents)
    message = refusal(killed)
    assert 'Remove that file' in message and str(killed / 'checkpoint') in message


def test_without_the_list_the_newest_checkpoint_serves(killed, run_of):
    (killed / 'checkpoint').unlink()
    before = stamps(killed)
    finish(killed)
    assert stamps(killed)['checkpoint-6.index'] == before['checkpoint-6.index']
    assert_same_run(run_of('natural'), killed)


def test_a_checkpoint_of_another_network(killed):
    assert 'of another network' in refusal(killed, dropout=True)


@pytest.mark.parametrize(
    'tail',
    [
        b'5',
        b'4,0.5,0.02,1,0.9',
        b'3,,,,,,,,,0.5,',
        b'\0\0\0\0',
        b'\xff\xfe,\xff\n',
        b'3,1,2\n',
        b'x,' * 11 + b'\n',
        b'3' + b',1' * 30 + b'\n',
    ],
)
def test_half_a_line_at_the_end_of_the_log(killed, tail):
    with open(killed / 'log.csv', 'ab') as file:
        file.write(tail)
    rows = common.training.log._rows_before(killed / 'log.csv', 6)
    assert [row['step'] for row in rows] == ['0', '2', '4']


def test_a_log_that_is_only_half_there(killed, run_of):
    contents = (killed / 'log.csv').read_bytes()
    (killed / 'log.csv').write_bytes(contents[:-20] + b'\0\0\0')
    finish(killed)
    assert_same_run(run_of('natural'), killed)


@pytest.mark.parametrize(
    'limit',
    [
        0,
        pytest.param(200, marks=pytest.mark.slow),
        600,
        pytest.param(3000, marks=pytest.mark.slow),
        12_000,
    ],
)
def test_a_full_disk(tmp_path, capsys, run_of, limit):
    # capsys: captured output must not go to a file, since a limit on file sizes replaces the disk.
    whole = run_of('natural')
    trainer = make_trainer(tmp_path, attack=None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UserError) as caught:
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(caught.value)
    assert '\n' not in message and message.startswith('cannot write ')
    assert 'File too large' in message and 'run the same command again' in message
    finish(tmp_path)
    assert_same_run(whole, tmp_path)


# Losses that are not finite.


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(killed):
    before = stamps(killed)
    message = refusal(killed, learning_rate=At(6, lambda: float('inf')))
    assert re.search(
        'stopped at step 7: expected a finite loss and finite weights, but the loss'
        ' became (nan|inf)',
        message,
    )
    assert f'the last good checkpoint is {killed / "checkpoint-6"}' in message
    assert '--learning_rate' in message and 'a new --model_dir' in message
    assert stamps(killed) == before
    assert all(np.isfinite(value).all() for value in weights(killed))


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    message = refusal(tmp_path, learning_rate=At(2, lambda: float('inf')))
    assert 'step 3' in message and 'weights' in message and 'none was written yet' in message
    assert stamps(tmp_path) == {}
    assert not (tmp_path / 'last.weights.h5').exists()


def test_weights_that_are_not_finite_are_not_validated(tmp_path):
    message = refusal(
        tmp_path,
        learning_rate=At(1, lambda: float('inf')),
        validate_every=2,
        validation=Validation(HELD_OUT, None),
    )
    assert 'training stopped at step 2' in message and '--learning_rate' in message
    assert not (tmp_path / 'best.weights.h5').exists()


def test_statistics_that_are_not_finite_are_never_saved(tmp_path):
    """Batch statistics hide an infinite moving average from the loss."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.layers[1].moving_variance.assign(tf.fill([16], float('inf')))
    assert 'weights' in refusal(tmp_path, model=model)
    assert stamps(tmp_path) == {}


# Interruptions.


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on(tmp_path, run_of, number):
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        make_trainer(
            tmp_path,
            learning_rate=At(4, lambda: os.kill(os.getpid(), number)),
            **CASES['validation'],
        ).train()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert (tmp_path / 'checkpoint-5.index').exists()  # the current step was completed
    finish(tmp_path, 'validation')
    assert_same_run(run_of('validation'), tmp_path, best=True)


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def twice():
        handler = signal.getsignal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        while signal.getsignal(signal.SIGINT) is handler:  # else Python may take both as one
            time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)

    # Shells start background jobs, which pytest may be, with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make_trainer(tmp_path, attack=None, learning_rate=At(4, twice)).train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / 'checkpoint-5.index').exists()


# What is computed.


def adam_reference(sum_loss, batch_size=8, steps=6):
    """TF1's AdamOptimizer on a linear softmax classifier, in float64."""
    w, b = np.zeros((16, CLASSES)), np.zeros(CLASSES)
    slots = [[np.zeros_like(p), np.zeros_like(p)] for p in (w, b)]
    batches = ShuffledBatches(len(EXAMPLES), batch_size, SEED)
    for step in range(steps):
        index = batches(step)
        x = SCALE * EXAMPLES.x[index].reshape(batch_size, 16).astype(np.float64)
        z = x @ w + b
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        d = p - np.eye(CLASSES)[EXAMPLES.y[index]]
        if not sum_loss:
            d /= batch_size
        rate = 0.01 * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        for parameter, gradient, slot in zip((w, b), (x.T @ d, d.sum(axis=0)), slots, strict=True):
            slot[0] = 0.9 * slot[0] + 0.1 * gradient
            slot[1] = 0.999 * slot[1] + 0.001 * gradient**2
            parameter -= rate * slot[0] / (np.sqrt(slot[1]) + 1e-8)
    return w, b


SCALE = 1e-7  # gradients near Adam's epsilon, without which it would hide the gradients' scale


@pytest.mark.parametrize('sum_loss', [True, False])
def test_six_steps_of_tf1_adam(tmp_path, sum_loss):
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, kernel_initializer='zeros'),
        ]
    )
    scaled = dataclasses.replace(EXAMPLES, x=np.float32(SCALE) * EXAMPLES.x)
    make_trainer(
        tmp_path,
        model=model,
        examples=scaled,
        attack=None,
        sum_loss=sum_loss,
        train_steps=6,
        learning_rate=Piecewise((0.01,)),
        log_every=1,
        adam=True,
    ).train()
    w, b = adam_reference(sum_loss)
    # 8 float32 roundings a step in Adam, and cancellation in p - y.
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(model.get_weights()[1], b, rtol=1e-4)
    other = adam_reference(not sum_loss)[0]
    assert np.max(np.abs(other - w)) > 0.01 * np.max(np.abs(w))  # so the comparison means something
    for row in log_rows(tmp_path):  # the log shows the mean in both cases
        assert 0.9 < float(row['loss_adv']) < 1.2


@dataclasses.dataclass(frozen=True)
class Shift:
    """An adversary whose examples are known: all pixels plus `size`."""

    size: float
    gradients: int = 0

    def scaled(self, factor):
        return Shift(self.size * factor)

    def perturb(self, logits_fn, x, y, *, seed):
        return x + self.size


def mean_loss(model, x, y):
    return float(
        np.mean(keras.losses.sparse_categorical_crossentropy(y, model(x), from_logits=True))
    )


def test_the_network_trains_on_the_adversarial_examples_of_the_warmed_up_radius(tmp_path):
    model, reference = build(), build()
    make_trainer(
        tmp_path,
        model=model,
        attack=Shift(2.0),
        learning_rate=Piecewise((0.0,)),
        epsilon_factor=LinearRise(4),
        log_every=1,
    ).train()
    batches = ShuffledBatches(len(EXAMPLES), 8, SEED)
    factors = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    for step, (row, factor) in enumerate(zip(log_rows(tmp_path), factors, strict=True)):
        x, y = EXAMPLES.x[batches(step)], EXAMPLES.y[batches(step)]
        assert float(row['epsilon_factor']) == factor
        np.testing.assert_allclose(
            [float(row['loss_nat']), float(row['loss_adv'])],
            [mean_loss(reference, x, y), mean_loss(reference, x + np.float32(2 * factor), y)],
            rtol=2e-5,
        )  # the log has six digits
        assert float(row['epoch']) == step / 8


def test_trades_without_its_divergence_is_natural_training(tmp_path):
    make_trainer(tmp_path / 'natural', attack=None).train()
    make_trainer(tmp_path / 'trades', objective=Trades(0.0)).train()
    make_trainer(tmp_path / 'other', objective=Trades(5.0)).train()
    natural, zero, other = (weights(tmp_path / name) for name in ('natural', 'trades', 'other'))
    for a, b in zip(natural, zero, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(natural, other, strict=True))


def test_averaged_weights(tmp_path):
    make_trainer(tmp_path, attack=None, weight_averaging=0.3, checkpoint_every=1, keep=20).train()

    def stored(step):
        found = tensors(tmp_path, step)
        raw = build()
        tf.train.Checkpoint(model=raw).restore(
            str(tmp_path / f'checkpoint-{step}')
        ).expect_partial()
        return raw.get_weights(), [
            found[f'average/{i}/.ATTRIBUTES/VARIABLE_VALUE'] for i in range(4)
        ]

    expected = build().get_weights()
    for step in range(10):
        raw, average = stored(step + 1)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * r for e, r in zip(expected, raw, strict=True)]
        for a, e in zip(average, expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-7)
    for a, b in zip(weights(tmp_path), stored(10)[1], strict=True):
        np.testing.assert_array_equal(a, b)
    # Loading the folder's checkpoint by its prefix gives the same network.
    networks = Networks('toy', lambda config: build(), [{}], None, released=tmp_path)
    loaded = networks.load(str(tmp_path / 'checkpoint-10')).get_weights()
    for a, b in zip(loaded, weights(tmp_path), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    # The last rate destroys what was learned.
    make_trainer(
        tmp_path,
        attack=None,
        validation=Validation(HELD_OUT, None),
        validate_every=8,
        checkpoint_every=8,
        keep=20,
        train_steps=40,
        learning_rate=Piecewise((0.05, 5.0), (32,)),
    ).train()
    scores = {
        int(row['step']): float(row['validation_accuracy_nat'])
        for row in log_rows(tmp_path)
        if row['validation_accuracy_nat']
    }
    assert list(scores) == [8, 16, 24, 32, 40]
    best = max(scores, key=scores.get)  # the first of equals
    assert scores[best] > scores[40]
    model = build()
    tf.train.Checkpoint(model=model).restore(str(tmp_path / f'checkpoint-{best}')).expect_partial()
    for a, b in zip(weights(tmp_path, 'best'), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_equal_score_is_not_a_better_one(tmp_path, monkeypatch):
    # 0.7 in float32 is a little less than 0.7.
    model = build()
    x = HELD_OUT.x[:10]
    y = np.argmax(model(x), axis=1).astype(np.int32)
    y[:3] = (y[:3] + 1) % CLASSES
    saved = []
    original = common.training.trainer.save_weights
    monkeypatch.setattr(
        common.training.trainer,
        'save_weights',
        lambda m, path: (saved.append(path.name), original(m, path)),
    )
    make_trainer(
        tmp_path,
        model=model,
        learning_rate=Piecewise((0.0,)),
        validate_every=2,
        validation=Validation(Examples(x, y, 'ten'), None),
    ).train()
    assert {row['validation_accuracy_nat'] for row in log_rows(tmp_path)} == {'', '0.7'}
    assert saved.count('best.weights.h5') == 1


def test_validation_under_attack_is_what_counts(tmp_path):
    make_trainer(tmp_path, validation=Validation(HELD_OUT, ATTACK)).train()
    last = log_rows(tmp_path)[-1]
    assert last['step'] == '10'
    assert float(last['validation_accuracy_adv']) < float(last['validation_accuracy_nat'])
    assert tensors(tmp_path)['best/.ATTRIBUTES/VARIABLE_VALUE'] == np.float32(
        last['validation_accuracy_adv']
    )


def test_the_log(tmp_path):
    make_trainer(tmp_path, learning_rate=Piecewise((0.02, 0.002), (5,)), log_every=3).train()
    with open(tmp_path / 'log.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == common.training.log.COLUMNS
    assert [row['step'] for row in rows] == ['0', '3', '6', '9']
    assert [row['learning_rate'] for row in rows] == ['0.02', '0.02', '0.002', '0.002']
    assert [row['epoch'] for row in rows] == ['0', '0.375', '0.75', '1.125']
    assert rows[0]['examples_per_second'] == ''  # compiling is not training
    assert all(float(row['examples_per_second']) > 0 for row in rows[1:])


SHARE = r'\d+\.\d\d%'
LINE = f'natural {SHARE}, adversarial {SHARE} of the batch'
SPEED = r', [\d,]+ examples/s'


def test_the_lines_on_the_terminal(tmp_path, capsys):
    """The first steps, whatever --log_every is; the log itself keeps to its own."""
    make_trainer(tmp_path, log_every=7, train_steps=13).train()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(f'step 0: {LINE}', lines[0])
    for step, line in zip((1, 2, 5, 7, 10), lines[1:], strict=False):
        assert re.fullmatch(rf'step {step}: {LINE}{SPEED}, \d+ seconds? left', line)
    assert re.fullmatch(r'2 steps at [\d,]+ examples/s: about \d+ seconds?', lines[6])
    assert re.fullmatch(f'step 12: {LINE}{SPEED}', lines[7])
    assert len(lines) == 8
    assert [row.split(',')[0] for row in (tmp_path / 'log.csv').read_text().splitlines()] == [
        *('step', '0', '7', '12')
    ]


def test_advice_follows_the_estimate(tmp_path, capsys):
    trainer = make_trainer(tmp_path, train_steps=12)
    trainer._advise = lambda seconds: f'it takes {seconds:.9f} s'
    trainer.train()
    lines = capsys.readouterr().out.splitlines()
    (at,) = (i for i, line in enumerate(lines) if 'steps at' in line or 'step at' in line)
    assert re.fullmatch(r'it takes 0\.\d{9} s', lines[at + 1])


def test_long_silence_is_broken_where_there_is_no_progress_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, '_SILENCE', 0.0)
    make_trainer(tmp_path, log_every=100, train_steps=5).train()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf'step 3: adversarial {SHARE} of the batch{SPEED}, \d+ seconds? left', lines[3]
    )


def test_lines_appear_at_once_in_a_file_as_well(tmp_path, monkeypatch):
    written, seen = io.StringIO(), []
    monkeypatch.setattr(written, 'flush', lambda: seen.append(written.getvalue().count('\n')))
    monkeypatch.setattr(sys, 'stdout', written)
    make_trainer(tmp_path, train_steps=2).train()
    assert seen[-1] == written.getvalue().count('\n') == 2


def test_a_run_that_goes_on_says_so(killed, capsys):
    finish(killed)
    assert capsys.readouterr().out.startswith(f'{killed}: resuming from step 6 of 10\nstep 6: ')
    finish(killed)
    assert capsys.readouterr().out == f'{killed}: resuming from step 10 of 10\n'


def test_a_run_goes_on_from_the_checkpoint_that_its_list_names(killed, run_of, capsys):
    (killed / 'checkpoint').write_text(
        'model_checkpoint_path: "checkpoint-3"\n'
        'all_model_checkpoint_paths: "checkpoint-3"\n'
        'all_model_checkpoint_paths: "checkpoint-6"\n'
    )
    finish(killed)
    assert 'resuming from step 3 of 10' in capsys.readouterr().out
    assert_same_run(run_of('natural'), killed)


def summarized(folder):
    """Tag -> its steps, as a reader finds them that knows nothing of interrupted runs."""
    found = {}
    for path in sorted(folder.glob('events.out.tfevents.*')):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


@pytest.mark.parametrize('half', [b'', b'half a record'])
def test_a_run_that_goes_on_summarizes_every_step_once(killed, run_of, half):
    (path,) = killed.glob('events.out.tfevents.*')
    assert summarized(killed)['xent_adv'] == [0, 2, 4, 6]
    path.write_bytes(path.read_bytes() + half)
    finish(killed)
    assert summarized(killed) == summarized(run_of('natural'))
    assert summarized(killed)['xent_adv'] == [0, 2, 4, 6, 8, 9]


def test_summaries_have_the_challenges_tags(tmp_path):
    make_trainer(tmp_path, log_every=4).train()
    assert summarized(tmp_path) == {
        tag: [0, 4, 8, 9]
        for tag in (
            'accuracy_adv_train',
            'accuracy_adv',
            'xent_adv_train',
            'xent_adv',
            'images_adv_train/image/0',
            'images_adv_train/image/1',
            'images_adv_train/image/2',
        )
    }


def test_pictures_of_the_summaries_show_the_whole_range_of_pixels(tmp_path):
    x = np.tile(np.array([0, 128, 255], np.float32)[:, None, None, None], (1, 4, 4, 1))
    with Log(tmp_path, 0, (0.0, 255.0)) as log:
        log.summarize({'step': 0, 'accuracy_adv': 0.5, 'loss_adv': 1.0}, x)
    (path,) = tmp_path.glob('events.out.tfevents.*')
    pictures = {
        value.tag: tf.io.decode_png(tf.make_ndarray(value.tensor)[2]).numpy().flat[0]
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if 'image' in value.tag
    }
    assert pictures == {f'images_adv_train/image/{i}': v for i, v in enumerate((0, 128, 255))}


def test_a_batch_larger_than_the_training_set(tmp_path):
    with pytest.raises(UserError, match='--batch_size: expected at most .* 64; found 65'):
        make_trainer(tmp_path, batch_size=65)


def test_a_folder_that_is_a_pattern_is_refused_before_the_training(tmp_path):
    with pytest.raises(UserError, match='without brackets'):
        make_trainer(tmp_path / 's[9]')


def nan(x):
    x = x.copy()
    x[5, 1, 1] = np.nan
    return x


X, Y = EXAMPLES.x, EXAMPLES.y
REFUSED = {
    'other range': (X * 255, Y, 'expected pixels from 0 to 1; found'),
    'NaN': (nan(X), Y, 'found NaN or infinity in image 5'),
    'label too large': (X, Y + 1, 'labels, .* from 0 to 2; found 3'),
    'label too small': (X, Y - 1, 'labels, .* from 0 to 2; found -1'),
    'fewer labels': (X, Y[:-1], 'labels'),
    'more labels': (X[:-1], Y, 'labels'),
    'other shape': (X[..., 0], Y, r'images of shape \(4, 4, 1\)'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_images_and_labels_that_do_not_fit_are_refused_before_the_training(tmp_path, case):
    x, y, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        make_trainer(tmp_path, examples=Examples(x, y, 'wrong'))
    assert not list(tmp_path.iterdir())


def test_images_that_fit_are_not_copied(tmp_path):
    np.save(tmp_path / 'x.npy', np.float16(X))
    on_disk = np.load(tmp_path / 'x.npy', mmap_mode='r')
    for x in (X, on_disk):
        assert make_trainer(tmp_path / 'run', examples=Examples(x, Y, '')).data.examples.x is x


# Several devices.

MIRRORED = textwrap.dedent("""
    import json, pathlib, sys
    import tensorflow as tf
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    sys.path[:0] = [sys.argv[1], sys.argv[2]]
    import numpy as np
    import test_trainer as t
    from common.errors import UserError

    def train(name, devices, **settings):
        strategy = tf.distribute.MirroredStrategy([f'CPU:{i}' for i in range(devices)])
        folder = pathlib.Path(sys.argv[3]) / name
        folder.mkdir(exist_ok=True)
        defaults = dict(train_steps=6, batch_size=8, seed=t.SEED, learning_rate=t.Piecewise((.02,)),
                        checkpoint_every=4, log_every=2, weight_averaging=0.9, validate_every=3,
                        optimizer=t.Adam(),
                        attack=t.PGD(t.LinfBall(0.2), 2, 0.15, random_start=False))
        dropout = settings.pop('dropout', False)
        with strategy.scope():
            model = t.build(dropout)
        t.Trainer(network=model, settings=t.Settings(**{**defaults, **settings}),
                  data=t.Data(t.EXAMPLES, t.Validation(t.HELD_OUT, None)), model_dir=folder,
                  strategy=strategy).train()
        return [w.tolist() for w in t.weights(folder, dropout=dropout)]

    result = {'one': train('one', 1), 'two': train('two', 2)}
    try:
        train('parts', 2, learning_rate=t.At(5, t.kill))
    except t.Killed:
        pass
    result['parts'] = train('parts', 2)
    train('dropout', 2, dropout=True)
    try:
        train('odd', 2, batch_size=7)
    except UserError as error:
        result['odd'] = str(error)
    print('RESULT', json.dumps(result))
""")


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    here = pathlib.Path(__file__)
    process = subprocess.run(
        [sys.executable, '-c', MIRRORED, str(here.parents[3]), str(here.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.rpartition('RESULT')[2])
    for one, two, parts in zip(result['one'], result['two'], result['parts'], strict=True):
        # Sums of gradients in another order; Adam may amplify the rounding of tiny gradients.
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(two, parts, rtol=1e-5, atol=1e-6)
    for name in ('one', 'two', 'parts'):
        assert [row['step'] for row in log_rows(tmp_path / name)] == ['0', '2', '3', '4', '5', '6']
    assert '--batch_size: expected a multiple of the number of devices, 2; found 7' in result['odd']
