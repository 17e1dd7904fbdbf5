"""Downloading a released model: network A from a TF1 checkpoint. The server is local."""

import functools
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from common.files import sha256
from common.networks.challenge_models import Release
from common.networks.weights import load_weights
from mnist import fetch_model as program
from mnist import model, tf1
from mnist.challenge_models import RELEASES
from mnist.model import network_a

ROOT = pathlib.Path(__file__).parents[2]
FILES = (
    'checkpoint',
    'checkpoint-24900.data-00000-of-00001',
    'checkpoint-24900.index',
    'checkpoint-24900.meta',
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def values():
    rng = np.random.default_rng(0)
    return [
        rng.normal(scale=0.1, size=variable.shape).astype(np.float32)
        for variable in network_a().trainable_variables
    ]


@pytest.fixture(scope='module')
def checkpoint(values, tmp_path_factory):
    """Folder with a checkpoint written by TF1's Saver, of step 24,900."""
    folder = tmp_path_factory.mktemp('challenge')
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for value in values:
            tf.compat.v1.Variable(tf.zeros(value.shape), use_resource=False)
        variables = tf.compat.v1.global_variables()
        assert [v.op.name for v in variables] == list(tf1.NAMES)
        tf.compat.v1.Variable(tf.constant(24900, tf.int64), name='global_step', use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        for variable, value in zip(variables, values, strict=True):
            session.run(variable.initializer, {variable.initializer.inputs[1]: value})
        tf.compat.v1.train.Saver().save(session, str(folder / 'checkpoint'), global_step=24900)
    assert sorted(os.listdir(folder)) == sorted(FILES)
    return folder


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A served folder and its address."""
    folder = tmp_path_factory.mktemp('site')
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.fixture
def fetch(site, monkeypatch, run_program, tmp_path):
    """(folder with a checkpoint, further entries) -> what the program returned and its folder.

    The checkpoint is published as the model 'secret'.
    """

    def fetch(checkpoint, more=None):
        path = site[0] / 'secret.zip'
        with zipfile.ZipFile(path, 'w') as archive:
            for file in checkpoint.iterdir():
                archive.write(file, f'models/secret/{file.name}')
            for name, content in (more or {}).items():
                archive.writestr(name, content)
        monkeypatch.setitem(RELEASES, 'secret', Release(f'{site[1]}/secret.zip', sha256(path)))
        result = run_program(program, '--name=secret', f'--output_dir={tmp_path / "models"}')
        return *result, tmp_path / 'models' / 'secret'

    return fetch


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def test_imports_network_a_and_says_what_to_do_next(fetch, checkpoint, values):
    status, out, err, folder = fetch(checkpoint)
    assert status == 0 and not err
    assert out.endswith(f'python -m mnist.eval_attack --target={folder}\n')
    assert sorted(os.listdir(folder)) == sorted([*FILES, 'last.weights.h5'])
    network = network_a(seed=5)
    load_weights(network, folder / 'last.weights.h5')
    for variable, value in zip(network.trainable_variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_the_folder_loads_in_spite_of_the_challenges_config(fetch, checkpoint, values):
    config = '{"model_dir": "models/secret", "random_seed": 7311060}'
    folder = fetch(checkpoint, {'models/secret/config.json': config})[-1]
    network = model.load(str(folder))
    np.testing.assert_array_equal(network.trainable_variables[6].numpy(), values[6])


def test_a_checkpoint_of_another_network(fetch, tmp_path):
    tf1.export_checkpoint(network_a((4, 8), 16), tmp_path / 'small' / 'checkpoint-1')
    status, _, err, folder = fetch(tmp_path / 'small')
    assert status == 1 and err.startswith('error: ') and err.count('\n') == 1
    assert 'float32 [5, 5, 1, 32]; found float32 [5, 5, 1, 4]' in err
    assert not folder.exists()


def test_the_name_may_stand_alone_as_in_the_challenge(run_program, monkeypatch, tmp_path):
    asked = []

    def fetch_model(name, release, output_dir, **_):
        asked.append((name, release, output_dir))
        return tmp_path

    monkeypatch.setattr('common.programs.fetch_model.fetch_model', fetch_model)
    assert run_program(program, 'secret')[0] == 0
    assert run_program(program, f'--output_dir={tmp_path}', 'natural')[0] == 0
    assert run_program(program, 'natural', f'--output_dir={tmp_path}')[0] == 0
    natural = ('natural', RELEASES['natural'], str(tmp_path))
    assert asked == [('secret', RELEASES['secret'], 'models'), natural, natural]


@pytest.mark.parametrize(
    'words', [['secret', 'natural'], ['secret', '--name=natural'], ['--name=secret', 'secret']]
)
def test_two_names_are_refused(run_program, words):
    status, _, err = run_program(program, *words)
    assert status == 1 and 'or the value of --name alone; found' in err


def test_an_unknown_name_that_stands_alone(run_program):
    assert 'natural, adv_trained, secret; found best.' in run_program(program, 'best')[2]


@pytest.mark.parametrize('name', ['', 'best'])
def test_the_name_must_be_a_released_one(name, run_program):
    status, out, err = run_program(program, *([f'--name={name}'] if name else []))
    assert status == 1 and not out
    assert f'natural, adv_trained, secret; found {name or "none"}. For example --name=sec' in err


def test_without_a_network_the_program_fails_in_one_line(tmp_path):
    # An address that refuses connections replaces the network.
    environment = {
        **os.environ,
        'https_proxy': 'http://127.0.0.1:1',
        'no_proxy': '',
        'PYTHONPATH': str(ROOT),
    }
    # Set by this process's own import of TensorFlow; set by a user, it would show all messages.
    environment.pop('TF_CPP_MIN_LOG_LEVEL', None)
    process = subprocess.run(
        [sys.executable, '-m', 'mnist.fetch_model', '--name=secret'],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith('error: expected a download from https://github.com/MadryLab/')
    assert process.stderr.count('\n') == 1
    assert process.stdout == ''
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []
