"""Training as a program: recipes, resuming, refusals, and what a model folder holds."""

import dataclasses
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

from common.attacks import PGD
from common.data import stand_in
from common.data.augmentation import Warp
from common.files import sha256
from common.losses import CrossEntropy, CWMargin
from common.networks.weights import save_weights
from common.programs import train as program
from common.threat_model import LinfBall
from common.training.adversaries import training_adversary
from mnist import eval as eval_program
from mnist import eval_attack, model, sources, tf1, train
from mnist.data_set import MNIST
from mnist.recipes import RECIPES

FEW = {'train': 500, 'test': 500}  # images
NETWORK = ('--filters=2,4', '--hidden=8')
TINY = (
    '--dataset=drawn',
    *NETWORK,
    '--train_steps=4',
    '--batch_size=8',
    '--steps=2',
    '--step_size=0.2',
    '--checkpoint_every=2',
    '--log_every=2',
    '--validation_size=100',
    '--validation_examples=20',
)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setattr(stand_in, 'SIZES', FEW)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, run_program):
    """The model folder of a run of TINY; to be copied before anything is done to it."""
    folder = tmp_path_factory.mktemp('models') / 'run'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, 'SIZES', FEW)
        assert run_program(train, *TINY, f'--model_dir={folder}')[0] == 0
    return folder


@pytest.fixture
def config_of(monkeypatch, run_program, tmp_path):
    """Command line -> the config that would be trained, and its folder."""

    def config(*arguments):
        seen = []
        monkeypatch.chdir(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(program, 'train', lambda _, *arguments: seen.append(arguments[:2]))
            assert run_program(train, *arguments) == (0, '', '')
        return seen[0]

    return config


# Flags and recipes.

CHALLENGE = {
    'adversary': 'pgd',
    'epsilon': 0.3,
    'steps': 40,
    'step_size': 0.01,
    'random_start': True,
    'loss': 'xent',
    'train_steps': 100_000,
    'batch_size': 50,
    'learning_rate': 1e-4,
    'schedule': 'constant',
    'epsilon_warmup': 0,
    'weight_averaging': 0.0,
    'optimizer': 'adam',
    'sum_loss': True,
    'drop_remainder': False,
    'weight_decay': 0.0,
    'crafting': 'eval',
    'mixed_precision': 'float32',
    'adam_beta_1': 0.9,
    'adam_beta_2': 0.999,
    'adam_epsilon': 1e-8,
    'network': 'A',
    'filters': (32, 64),
    'hidden': 1024,
    'validation_size': 5000,
    'seed': 4557077,
    'log_every': 100,
    'checkpoint_every': 300,
    'init_from': None,
    'attack_dtype': 'float32',
    'deterministic': False,
    'dataset': 'mnist',
}


def test_the_defaults_are_the_challenges(config_of):
    config, folder = config_of()
    assert {name: getattr(config, name) for name in CHALLENGE} == CHALLENGE
    assert folder == pathlib.Path('models/mnist_A_pgd')
    assert config == config_of('--recipe=challenge')[0]


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_recipe_is_nothing_but_flags(config_of, recipe):
    config, _ = config_of(f'--recipe={recipe}')
    assert config == RECIPES[recipe]
    default = config_of()[0].to_json()
    flags = [
        f'--{name}={value}' for name, value in config.to_json().items() if value != default[name]
    ]
    assert config_of(*flags)[0] == config
    assert not {'recipe', 'model_dir', 'data_dir'} & config.to_json().keys()


@pytest.mark.parametrize('order', [1, -1])
def test_flags_override_the_recipe_even_with_the_flags_own_default(config_of, order):
    given = ['--recipe=fast', '--batch_size=50', '--schedule=constant', '--steps=17'][::order]
    config, _ = config_of(*given)
    assert config == dataclasses.replace(
        RECIPES['fast'], batch_size=50, schedule='constant', steps=17
    )


def test_the_released_networks_commands_are_understood(config_of):
    folders = {
        config_of(*stage)[1] for source in sources.SOURCES.values() for stage in source.stages
    }
    assert folders == {
        pathlib.Path('models') / name for name in ('mnist_A_pgd', 'mnist_A_none', 'mnist_B_none')
    }


@pytest.mark.parametrize(
    'flag, expected', [('--noaugment', None), ('--augment', Warp(10.0, 0.1, 0.1, 1.0, 1.25))]
)
def test_training_images_are_varied_where_asked_for(config_of, trainer_arguments, flag, expected):
    config, _ = config_of(*TINY, flag)
    assert trainer_arguments(train.main.data_set, config)['data'].augment == expected


def test_adversaries():
    config = dataclasses.replace(
        RECIPES['challenge'], epsilon=0.2, steps=5, step_size=0.1, random_start=False, kappa=3.0
    )
    ball = LinfBall(0.2, 0.0, 1.0)
    for name, loss, expected in (
        ('pgd', 'cw', PGD(ball, 5, 0.1, CWMargin(kappa=3.0), False)),
        ('fgsm', 'xent', PGD(ball, 1, 0.2, CrossEntropy(), False)),
        ('fgsm_rs', 'xent', PGD(ball, 1, 0.2, CrossEntropy(), True)),
        ('none', 'xent', None),
    ):
        config = dataclasses.replace(config, adversary=name, loss=loss)
        assert training_adversary(config, MNIST.ball) == expected


def test_help(run_program):
    status, out, _ = run_program(train, '--help')
    assert status == 0
    for flag in (*CHALLENGE, 'model_dir', 'recipe', 'data_dir'):
        name = f'[no]{flag}' if isinstance(CHALLENGE.get(flag), bool) else flag
        assert f'--{name}: ' in out


# A run and the same command again.


def log(folder):
    lines = (folder / 'log.csv').read_text().splitlines()
    rate = lines[0].split(',').index('examples_per_second')
    return [[c for i, c in enumerate(line.split(',')) if i != rate] for line in lines]


def tensors(folder):
    prefix = tf.train.latest_checkpoint(str(folder))
    reader = tf.train.load_checkpoint(prefix)
    return prefix.rpartition('-')[2], {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(('_CHECKPOINTABLE', 'save_counter'))
    }


def assert_same_run(folder, other):
    (step, left), (other_step, right) = tensors(folder), tensors(other)
    assert step == other_step
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    for name in ('last.weights.h5', 'best.weights.h5'):
        for a, b in zip(
            model.load(str(folder / name)).get_weights(),
            model.load(str(other / name)).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert log(folder) == log(other)
    assert (folder / 'config.json').read_text() == (other / 'config.json').read_text()


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith('events')}


def test_what_a_model_folder_holds(trained):
    names = {name for name in os.listdir(trained) if not name.startswith('events.out.tfevents.')}
    assert names == {
        'config.json',
        'checkpoint',
        'checkpoint-2.index',
        'checkpoint-2.data-00000-of-00001',
        'checkpoint-4.index',
        'checkpoint-4.data-00000-of-00001',
        'last.weights.h5',
        'best.weights.h5',
        'log.csv',
    }
    config = json.loads((trained / 'config.json').read_text())
    assert config['filters'] == [2, 4] and config['train_steps'] == 4
    assert [row[0] for row in log(trained)] == ['step', '0', '2', '3', '4']


def test_its_network_loads_by_folder_file_and_checkpoint(trained):
    expected = model.load(str(trained / 'last.weights.h5')).get_weights()
    assert [w.shape for w in expected][-2:] == [(8, 10), (10,)]
    for reference in (trained, trained / 'checkpoint-4'):
        for a, b in zip(model.load(str(reference)).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_end_names_the_weights_and_commands_that_evaluate_them(
    trained, tmp_path, run_program, monkeypatch
):
    folder = shutil.copytree(trained, tmp_path / 'a run')
    status, out, _ = run_program(train, *TINY, f'--model_dir={folder}')
    assert status == 0
    *_, where, first, second = out.splitlines()
    assert f'{folder}/last.weights.h5' in where and f'{folder}/best.weights.h5' in where
    for line, door in ((first, eval_program), (second, eval_attack)):
        *python, name = shlex.split(line)[:3]
        assert python == ['python', '-m'] and name == door.__name__
        few = ('--num_examples=20', '--steps=1')
        status, out, err = run_program(door, *shlex.split(line)[3:], *few)
        assert status == 0, err
        assert str(folder) in out and 'drawn' in out and ' A ' not in out


@pytest.mark.parametrize(
    'arguments, seconds, told',
    [
        ([], 1e6, True),
        ([], 60.0, False),  # already shorter than what would be recommended
        (['--recipe=fast'], 1e6, False),
    ],
)
def test_a_long_run_of_the_default_recipe_is_told_a_shorter_one(
    run_program, monkeypatch, arguments, seconds, told
):
    advice = []
    monkeypatch.setattr(
        program, 'train', lambda *given: advice.append(given[-1](seconds)) and False
    )
    assert run_program(train, *arguments, '--model_dir=never_made')[0] == 0
    entry = MNIST.networks.manifest()['A']
    assert ('python -m mnist.train --recipe=fast' in advice[0]) == told
    assert (entry['machine'] in advice[0] and ' 59 minutes ' in advice[0]) == told


def test_the_same_command_again_changes_nothing(trained, tmp_path, run_program):
    folder = shutil.copytree(trained, tmp_path / 'run')
    before = contents(folder)
    assert run_program(train, *TINY, f'--model_dir={folder}')[0] == 0
    after = contents(folder)
    # HDF5 files contain the time they were written.
    assert {**after, 'last.weights.h5': b''} == {**before, 'last.weights.h5': b''}
    assert_same_run(folder, trained)


def test_a_run_of_an_earlier_version_goes_on(trained, tmp_path, run_program):
    """Its config.json lacks newer settings and has numbers as strings."""
    folder = shutil.copytree(trained, tmp_path / 'run')
    config = json.loads((folder / 'config.json').read_text())
    for name in ('optimizer', 'sum_loss', 'crafting', 'objective', 'jit_compile', 'momentum'):
        del config[name]
    (folder / 'config.json').write_text(json.dumps({**config, 'filters': ['2', '4']}))
    assert run_program(train, *TINY, f'--model_dir={folder}')[0] == 0
    assert_same_run(folder, trained)


def test_what_an_earlier_version_did_not_do_is_a_difference(trained, tmp_path, run_program):
    folder = shutil.copytree(trained, tmp_path / 'run')
    config = json.loads((folder / 'config.json').read_text())
    del config['objective']
    (folder / 'config.json').write_text(json.dumps({**config, 'shift': 1}))
    status, _, err = run_program(train, *TINY, '--objective=trades', f'--model_dir={folder}')
    assert status == 1
    assert 'objective: pgd there, trades now; shift: 1 there, (absent) now' in err


def test_a_changed_config_is_refused_with_the_difference(trained, tmp_path, run_program):
    folder = shutil.copytree(trained, tmp_path / 'run')
    before = contents(folder)
    status, out, err = run_program(
        train, *TINY, '--epsilon=0.2', '--hidden=16', f'--model_dir={folder}'
    )
    assert (status, out) == (1, '')
    assert 'epsilon: 0.3 there, 0.2 now; hidden: 8 there, 16 now' in err
    assert err.count('\n') == 1
    assert contents(folder) == before


# User errors.


def refusal(run_program, *arguments):
    status, _, err = run_program(train, *TINY, *arguments)
    assert status == 1
    assert err.startswith('error: ') and err.count('\n') == 1, err
    return err


@pytest.mark.parametrize(
    'flag, words',
    [
        ('--epsilon=-0.1', 'non-negative'),
        ('--epsilon=nan', 'finite'),
        ('--steps=-1', 'range'),
        ('--step_size=-1', 'non-negative'),
        ('--train_steps=0', 'positive'),
        ('--batch_size=0', 'positive'),
        ('--learning_rate=inf', 'finite'),
        ('--adversary=trades', '<pgd|fgsm|fgsm_rs|none>'),
        ('--loss=dlr', '<xent|cw>'),
        ('--network=C', '<A|B>'),
        ('--recipe=slow', '<challenge|fast|strong|stronger>'),
        ('--seed=-1', 'range'),
        ('--trades_beta=inf', 'finite'),
        ('--weight_averaging=1', 'below 1'),
        ('--adam_beta_1=1', 'below 1'),
        ('--adam_epsilon=nan', 'below 1'),
        ('--hidden=0', 'positive'),
        ('--widht=3', 'Unknown'),
    ],
)
def test_wrong_values_of_flags(run_program, tmp_path, flag, words):
    err = refusal(run_program, flag, f'--model_dir={tmp_path / "run"}')
    assert words in err and flag.split('=')[0].strip('-') in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'flags, words',
    [
        (['--filters=2,x'], '--filters=2,x: expected whole numbers separated by commas'),
        (['--filters=2'], "--filters: expected two positive whole numbers, found '2'"),
        (
            ['--boundaries=1.5'],
            '--boundaries=1.5: expected whole numbers separated by commas, such as 2,3',
        ),
        (['--boundaries=5'], '--boundaries: expected --schedule=piecewise with it'),
        (['--learning_rate_warmup=5'], '--learning_rate_warmup: expected --schedule=cosine'),
        (
            ['--schedule=piecewise', '--boundaries=3,2'],
            "increasing whole numbers separated by commas, found '3,2'",
        ),
        (['--batch_size=401'], '--batch_size: expected at most the number of training images, 400'),
        (['--validation_size=495'], 'hold fewer images out'),
        (['--validation_size=500'], '--validation_size: expected fewer than the 500'),
        (['--objective=trades', '--adversary=fgsm'], '--adversary: expected pgd or fgsm_rs'),
        (['--init_from=no/such/network'], "there is no network 'no/such/network'"),
    ],
)
def test_mistakes_leave_nothing_behind(run_program, tmp_path, flags, words):
    """The corrected command must not be refused because of the wrong one's config."""
    assert words in refusal(run_program, *flags, f'--model_dir={tmp_path / "run"}')
    assert os.listdir(tmp_path) == []


def test_initial_weights_that_are_damaged_are_named_with_their_digest(run_program, tmp_path):
    path = tmp_path / 'damaged.weights.h5'
    path.write_bytes(b'not HDF5')
    err = refusal(run_program, f'--init_from={path}', f'--model_dir={tmp_path / "run"}')
    assert str(path) in err and sha256(path) in err
    assert os.listdir(tmp_path) == ['damaged.weights.h5']


def test_initial_weights_of_other_widths(run_program, tmp_path, trained):
    err = refusal(
        run_program, '--hidden=9', f'--init_from={trained}', f'--model_dir={tmp_path / "run"}'
    )
    assert '--init_from: expected weights of network_a' in err and '(196, 9) here' in err
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_of_the_folder(run_program, tmp_path):
    path = tmp_path / 'run'
    path.write_text('keep me')
    assert f'found the file {path}' in refusal(run_program, f'--model_dir={path}')
    assert 'Not a directory' in refusal(run_program, f'--model_dir={path / "below"}')
    assert path.read_text() == 'keep me'


def test_a_folder_that_cannot_be_written(run_program):
    # Nobody can write files to /proc, not even root.
    err = refusal(run_program, '--model_dir=/proc/run')
    assert 'cannot write /proc/run/config.json' in err and 'Choose a folder' in err


@pytest.mark.parametrize('reference', ['folder', 'file', 'checkpoint'])
def test_initial_weights_from_anywhere(run_program, tmp_path, trained, reference):
    network = model.load(str(trained))
    path = {
        'folder': trained,
        'file': tmp_path / 'some.weights.h5',
        'checkpoint': trained / 'checkpoint-4',
    }[reference]
    if reference == 'file':
        network = model.network_a((2, 4), 8, seed=99)
        save_weights(network, path)
        # Files without a config.json beside them have the default widths.
        (tmp_path / 'config.json').write_text(
            '{"network": "A", "filters": [2, 4], "hidden": 8, "seed": 0}'
        )
    status, _, _ = run_program(
        train,
        *TINY,
        '--adversary=none',
        '--learning_rate=0',
        '--train_steps=1',
        '--validation_examples=0',
        f'--init_from={path}',
        f'--model_dir={tmp_path / "run"}',
    )
    assert status == 0
    for a, b in zip(
        model.load(str(tmp_path / 'run')).get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('config', [True, False])
def test_a_folder_of_the_challenges_own_training(run_program, tmp_path, config):
    folder, network = tmp_path / 'theirs', model.network_a(seed=7)
    tf1.export_checkpoint(network, folder / 'checkpoint-300', 300)
    if config:
        (folder / 'config.json').write_text(
            '{"_comment": "=", "random_seed": 1, "max_num_training_steps": 300, "k": 40, "a": 0.01}'
        )
    before = sorted(os.listdir(folder))
    error = refusal(run_program, f'--model_dir={folder}')
    assert "the challenge's own train.py" in error and 'k: ' not in error
    assert f'mnist.eval --model_dir={folder}' in error and f'--init_from={folder}' in error
    assert sorted(os.listdir(folder)) == before
    status, _, _ = run_program(
        train,
        *('--dataset=drawn', '--adversary=none', '--learning_rate=0', '--train_steps=1'),
        *('--validation_size=100', '--validation_examples=0'),
        f'--init_from={folder}',
        f'--model_dir={tmp_path / "new"}',
    )
    assert status == 0
    for a, b in zip(model.load(str(tmp_path / 'new')).weights, network.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_run_goes_on_without_its_initial_weights(run_program, tmp_path, trained):
    source = shutil.copytree(trained, tmp_path / 'source')
    command = (*TINY, f'--init_from={source}', f'--model_dir={tmp_path / "run"}')
    assert run_program(train, *command)[0] == 0
    shutil.rmtree(source)
    (tmp_path / 'run' / 'last.weights.h5').unlink()
    assert run_program(train, *command)[0] == 0
    assert (tmp_path / 'run' / 'last.weights.h5').exists()


# Killed, in separate processes.

# A checkpoint every step makes it likely that files are being written when the signal comes.
LONGER = (
    '--dataset=drawn',
    *NETWORK,
    '--validation_examples=20',
    '--validate_every=10',
    '--batch_size=8',
    '--steps=2',
    '--weight_averaging=0.9',
    '--checkpoint_every=1',
    '--log_every=3',
    '--train_steps=20',
    '--deterministic',
)


def start(folder, *flags):
    return subprocess.Popen(
        [sys.executable, '-m', 'mnist.train', *LONGER, *flags, f'--model_dir={folder}'],
        cwd=pathlib.Path(train.__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process):
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def kill_at(process, folder, step, delay):
    """SIGKILL, `delay` seconds after the checkpoint of `step` or a later one was seen."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        steps = [int(p.stem.rpartition('-')[2]) for p in folder.glob('checkpoint-*.index')]
        if steps and max(steps) >= step:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    process.communicate()
    return process.returncode


def test_killed_and_resumed_is_the_same_to_the_last_bit(tmp_path, run_program, monkeypatch):
    parts = start(tmp_path / 'parts')
    step, delay = random.randint(1, 8), random.uniform(0, 0.05)
    print(f'killed {delay:.4f} s after step {step}')
    # 0: a slow observer may come too late, which does no harm.
    assert kill_at(parts, tmp_path / 'parts', step, delay) in (-signal.SIGKILL, 0)
    again = start(tmp_path / 'parts')
    monkeypatch.undo()  # all images
    try:
        assert run_program(train, *LONGER, f'--model_dir={tmp_path / "whole"}')[0] == 0
    finally:
        disable_op_determinism()
    wait(again)
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')
    assert contents(tmp_path / 'whole').keys() == contents(tmp_path / 'parts').keys()


@pytest.mark.slow
@pytest.mark.parametrize('flags', [(), ('--network=B', '--adversary=none')])
def test_killed_many_times(tmp_path, flags):
    whole = start(tmp_path / 'whole', *flags)
    wait(whole)
    for step in range(2, 20, 2):
        process = start(tmp_path / 'parts', *flags)
        kill_at(process, tmp_path / 'parts', step, random.uniform(0, 0.05))
    wait(start(tmp_path / 'parts', *flags))
    assert_same_run(tmp_path / 'whole', tmp_path / 'parts')


def test_a_radius_that_no_classifier_withstands_is_pointed_out(run_program, monkeypatch):
    monkeypatch.setattr(program, 'train', lambda *_: None)
    status, _, err = run_program(train, '--epsilon=0.5', '--model_dir=never_made')
    assert status == 0 and 'warning: --epsilon=0.5 is at least half of the pixel range' in err
