"""Fetching a released model: verified, imported, whole or not at all. The server is in the test."""

import functools
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from common import checkpoints
from common.errors import UserError
from common.files import sha256
from mnist import fetch_model as program
from mnist import tf1
from mnist.fetch_model import Release, fetch_model
from mnist.model import network_a

ROOT = pathlib.Path(__file__).parents[2]
FILES = ('checkpoint', 'checkpoint-24900.data-00000-of-00001', 'checkpoint-24900.index',
         'checkpoint-24900.meta')


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; /truncated/<file> is the file without its last 1,000 bytes."""

    def do_GET(self):
        if not self.path.startswith('/truncated/'):
            return super().do_GET()
        content = pathlib.Path(self.directory, self.path.rpartition('/')[2]).read_bytes()
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-1000])

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def values():
    rng = np.random.default_rng(0)
    return [rng.normal(scale=0.1, size=variable.shape).astype(np.float32)
            for variable in network_a().trainable_variables]


@pytest.fixture(scope='module')
def checkpoint(values, tmp_path_factory):
    """Folder with a checkpoint written by TF1's Saver, of step 24,900."""
    folder = tmp_path_factory.mktemp('challenge')
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for value in values:
            tf.compat.v1.Variable(tf.zeros(value.shape), use_resource=False)
        variables = tf.compat.v1.global_variables()
        assert [v.op.name for v in variables] == list(tf1.NAMES)
        tf.compat.v1.Variable(
            tf.constant(24900, tf.int64), name='global_step', use_resource=False)
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


@pytest.fixture(scope='module')
def publish(site, checkpoint):
    """(folder within the zip, further entries) -> Release of a zip with the checkpoint."""
    def publish(inside='models/secret/', more=None):
        path = site[0] / 'secret.zip'
        with zipfile.ZipFile(path, 'w') as archive:
            for name in FILES:
                archive.write(checkpoint / name, inside + name)
            for name, content in (more or {}).items():
                archive.writestr(name, content)
        return Release(f'{site[1]}/secret.zip', sha256(path))

    return publish


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def assert_fetched(folder, values):
    network = network_a(seed=5)
    checkpoints.load_weights(network, folder / 'last.weights.h5')
    for variable, value in zip(network.trainable_variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def refusal(release, output_dir):
    """The message, after a check that nothing was left behind."""
    with pytest.raises(UserError) as caught:
        fetch_model('secret', release, output_dir)
    assert os.listdir(output_dir) == []
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('inside', ['models/secret/', 'secret/', ''])
def test_fetches_and_imports_wherever_the_zip_keeps_its_files(inside, publish, values, tmp_path):
    folder = fetch_model('secret', publish(inside), tmp_path / 'models')
    assert folder == tmp_path / 'models' / 'secret'
    assert os.listdir(tmp_path / 'models') == ['secret']
    assert sorted(os.listdir(folder)) == sorted([*FILES, 'last.weights.h5'])
    assert_fetched(folder, values)


def test_the_checkpoint_stays_as_it_was_released(publish, checkpoint, tmp_path):
    folder = fetch_model('secret', publish(), tmp_path)
    for name in FILES:
        assert sha256(folder / name) == sha256(checkpoint / name)


def test_the_folder_loads_in_spite_of_the_challenges_config(publish, values, tmp_path):
    config = '{"model_dir": "models/secret", "random_seed": 7311060}'
    folder = fetch_model(
        'secret', publish(more={'models/secret/config.json': config}), tmp_path)
    assert (folder / 'challenge_config.json').read_text() == config
    network = checkpoints.Networks(
        data_set='mnist', build=lambda _: network_a(seed=5), configs=[{}],
        import_tf1=tf1.import_checkpoint).load(str(folder))
    np.testing.assert_array_equal(network.trainable_variables[6].numpy(), values[6])


def test_a_second_fetch_does_nothing(publish, tmp_path, capsys):
    folder = fetch_model('secret', publish(), tmp_path)
    before = (folder / 'last.weights.h5').stat().st_mtime_ns
    nowhere = Release('http://127.0.0.1:1/secret.zip', '0' * 64)
    assert fetch_model('secret', nowhere, tmp_path) == folder
    assert 'nothing to do' in capsys.readouterr().out
    assert (folder / 'last.weights.h5').stat().st_mtime_ns == before


@pytest.mark.parametrize('content', [None, b'', b'not weights'])
def test_something_else_in_its_place_is_named_and_kept(content, publish, tmp_path):
    folder = tmp_path / 'secret'
    folder.mkdir()
    if content is not None:
        (folder / 'last.weights.h5').write_bytes(content)
    before = os.listdir(folder)
    with pytest.raises(UserError, match='Move it away') as caught:
        fetch_model('secret', publish(), tmp_path)
    assert str(folder) in str(caught.value)
    assert os.listdir(folder) == before


def test_a_zip_with_another_digest_is_not_unpacked(publish, tmp_path):
    release = Release(publish().url, program.RELEASES['secret'].sha256)
    message = refusal(release, tmp_path)
    assert f'expected SHA-256 {release.sha256}' in message


def test_a_download_that_breaks_off(publish, site, tmp_path):
    release = publish()
    message = refusal(Release(f'{site[1]}/truncated/secret.zip', release.sha256), tmp_path)
    assert 'found only' in message


def test_an_address_without_a_file(site, tmp_path):
    assert 'HTTP status 404' in refusal(Release(f'{site[1]}/absent.zip', '0' * 64), tmp_path)


def test_a_zip_that_writes_elsewhere(publish, tmp_path):
    message = refusal(publish(more={'../../evil': b'evil'}), tmp_path)
    assert "'../../evil'" in message


def test_a_zip_without_a_checkpoint(publish, site, tmp_path):
    with zipfile.ZipFile(site[0] / 'other.zip', 'w') as archive:
        archive.writestr('models/secret/readme.txt', 'moved')
    release = Release(f'{site[1]}/other.zip', sha256(site[0] / 'other.zip'))
    assert 'found none' in refusal(release, tmp_path)


def test_a_zip_with_two_models(publish, tmp_path):
    release = publish(more={'models/natural/checkpoint-24900.index': b''})
    assert 'found models/natural, models/secret' in refusal(release, tmp_path)


def test_a_checkpoint_of_another_network(publish, site, tmp_path):
    tf1.export_checkpoint(network_a((4, 8), 16), tmp_path / 'small' / 'checkpoint-1')
    with zipfile.ZipFile(site[0] / 'small.zip', 'w') as archive:
        for path in (tmp_path / 'small').iterdir():
            archive.write(path, f'models/secret/{path.name}')
    (tmp_path / 'models').mkdir()
    release = Release(f'{site[1]}/small.zip', sha256(site[0] / 'small.zip'))
    message = refusal(release, tmp_path / 'models')
    assert 'float32 [5, 5, 1, 32]; found float32 [5, 5, 1, 4]' in message


def test_an_output_folder_that_cannot_be_made(publish, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(UserError, match='cannot write .*--output_dir'):
        fetch_model('secret', publish(), tmp_path / 'file' / 'models')


@pytest.mark.parametrize('name', [None, 'best'])
def test_the_name_must_be_a_released_one(name, monkeypatch):
    monkeypatch.setattr(program, 'FLAGS', types.SimpleNamespace(name=name, output_dir='models'))
    with pytest.raises(UserError, match=f'natural, adv_trained, secret; found {name or "none"}'):
        program.main()


def test_says_what_to_do_next(publish, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        program, 'FLAGS', types.SimpleNamespace(name='secret', output_dir=str(tmp_path)))
    monkeypatch.setitem(program.RELEASES, 'secret', publish())
    program.main()
    expected = f'python -m mnist.eval_attack --target={tmp_path / "secret"}\n'
    assert capsys.readouterr().out.endswith(expected)


def test_without_a_network_the_program_fails_in_one_line(tmp_path):
    # An address that refuses connections stands for the network.
    environment = {**os.environ, 'https_proxy': 'http://127.0.0.1:1', 'no_proxy': '',
                   'PYTHONPATH': str(ROOT)}
    # Set by this process's own import of TensorFlow; as a user's wish it would mean: all messages.
    environment.pop('TF_CPP_MIN_LOG_LEVEL', None)
    process = subprocess.run(
        [sys.executable, '-m', 'mnist.fetch_model', '--name=secret'], cwd=tmp_path,
        env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 1
    assert process.stderr.startswith('error: expected a download from https://github.com/MadryLab/')
    assert process.stderr.count('\n') == 1
    assert process.stdout == ''
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []
