"""Trains anybody's network against an adversary, as `mnist.train` trains this project's."""

import dataclasses
import pathlib
import shlex

from absl import flags

from common.attacks.on_arrays import default_step_size
from common.data.own import paths_of
from common.files import replacing, require_apart
from common.programs import config_flags, own_data_set
from common.programs import flags as shared_flags
from common.programs.help_text import about
from common.programs.own_data_set import OwnConfig
from common.programs.train import train
from common.training import run_folder
from common.training.setting import Subject

FLAGS = flags.FLAGS

DEFAULTS = OwnConfig(
    dataset='',
    network='',
    lower=0.0,
    upper=1.0,
    epsilon=0.0,
    steps=7,
    step_size=0.0,
    optimizer='adam',
    learning_rate=1e-3,
    schedule='cosine',
    train_steps=5000,
    batch_size=128,
    seed=0,
)
"""Settings where flags give no others; 0.0 stands for what depends on other flags."""

_OTHERWISE = {'dataset', 'network', 'data_sha256', 'norm', 'lower', 'upper', 'epsilon', 'step_size'}
_UNUSED = {'augment', 'init_from'}
_TRAINED = 'trained.keras'  # in --model_dir


def define_flags() -> None:
    """Defines the program's flags."""
    own_data_set.define_flags()
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'model_dir',
            None,
            'Folder for checkpoints, weights, log, config.json and the trained model.',
            required=True,
        )
    with about(Subject.ATTACK):
        flags.DEFINE_float(
            'epsilon',
            None,
            'Radius of the ball, in the units of --bounds.',
            required=True,
            lower_bound=0.0,
        )
        flags.DEFINE_float(
            'step_size',
            None,
            'Size of a PGD step; by default 2.5 --epsilon / --steps.',
            lower_bound=0.0,
        )
        for name in ('epsilon', 'step_size'):
            config_flags.require_finite(name)
    names = {field.name for field in dataclasses.fields(OwnConfig)}
    config_flags.define_config(
        DEFAULTS,
        only=names - _OTHERWISE - _UNUSED,
        steps='PGD steps that craft a batch (--train_steps counts optimizer steps).',
        validation_size='How many of the images, the last ones, are held out.',
    )


def main() -> None:
    """Reads the flags and trains."""
    require_apart(
        {'--model_dir': pathlib.Path(FLAGS.model_dir, _TRAINED)},
        {'--model': [FLAGS.model], '--data': paths_of(FLAGS.data)},
    )
    config = _chosen()
    data_set = own_data_set.own_data_set(
        model=FLAGS.model,
        data=FLAGS.data,
        bounds=(config.lower, config.upper),
        norm=config.norm,
        epsilon=config.epsilon,
        training=config,
    )
    shared_flags.checked_ball(data_set, config.epsilon, config.reach)
    config.check()
    folder = run_folder.check(FLAGS.model_dir, config)
    if train(data_set, config, folder, None):
        _write_model(data_set, folder)


def _chosen() -> OwnConfig:
    """The settings that the flags give."""
    lower, upper = own_data_set.chosen_bounds()
    names = [field.name for field in dataclasses.fields(DEFAULTS) if field.name in FLAGS]
    given = {name: FLAGS[name].value for name in names if FLAGS[name].present}
    steps = given.get('steps', DEFAULTS.steps)
    settings = {
        'dataset': FLAGS.data,
        'network': FLAGS.model,
        'data_sha256': own_data_set.digest_of_data(FLAGS.data),
        'lower': lower,
        'upper': upper,
        'step_size': default_step_size(FLAGS.epsilon, steps),
        **given,
    }
    return dataclasses.replace(DEFAULTS, **settings).settled(given)


def _write_model(data_set: own_data_set.DataSet, folder: pathlib.Path) -> None:
    """Writes the trained network as a whole Keras model, and says what to do with it."""
    path = folder / _TRAINED
    network = data_set.networks.load(str(folder))
    with replacing(path, suffix='.keras') as temporary:
        network.save(temporary)
    evaluate = [
        'python',
        '-m',
        'common.evaluate',
        f'--model={path}',
        '--data=TEST.npz',
        f'--bounds={",".join(FLAGS.bounds)}',
        f'--epsilon={FLAGS.epsilon:g}',
        '--preset=quick',
    ]
    if FLAGS['norm'].present:
        evaluate.append(FLAGS['norm'].serialize())
    print(
        f'trained: {path}; evaluate it on images that it has not seen (here TEST.npz) with\n'
        f'  {shlex.join(evaluate)}'
    )
