"""Downloading a released model: verified, imported, complete or not at all. The server is local."""

import functools
import http.server
import os
import pathlib
import threading
import zipfile

import keras
import numpy as np
import pytest

from common.errors import UserError
from common.files import sha256
from common.networks import registry, tf1_checkpoint, weights
from common.networks.challenge_models import Release, chosen, fetch_model

FILES = ('checkpoint', 'checkpoint-24900.data-00000-of-00001', 'checkpoint-24900.index')
NAMES = ('kernel', 'bias')
VALUES = (np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0.5, -0.5], np.float32))
RELEASES = {
    'natural': Release('http://a/b.zip', '0' * 64),
    'secret': Release('http://a/c.zip', '1' * 64),
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; /truncated/<file> is the file without its last 100 bytes."""

    def do_GET(self):
        if not self.path.startswith('/truncated/'):
            return super().do_GET()
        content = pathlib.Path(self.directory, self.path.rpartition('/')[2]).read_bytes()
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-100])

    def log_message(self, *_):
        pass


def network():
    """Two classes of three pixels."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def import_tf1(model, prefix):
    model.set_weights(tf1_checkpoint.read(prefix, NAMES, [v.shape for v in model.weights]))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Folder with a checkpoint of TF1's format, of step 24,900."""
    folder = tmp_path_factory.mktemp('challenge')
    tf1_checkpoint.write(folder / 'checkpoint-24900', NAMES, VALUES, 24900)
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


def fetch(release, output_dir, network=network):
    return fetch_model('secret', release, output_dir, network, import_tf1)


def refusal(release, output_dir, network=network):
    """The message, after a check that nothing was left behind."""
    with pytest.raises(UserError) as caught:
        fetch(release, output_dir / 'models', network)
    assert os.listdir(output_dir) == []
    assert '\n' not in str(caught.value)
    return str(caught.value)


def assert_weights(model):
    for variable, value in zip(model.weights, VALUES, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize('inside', ['models/secret/', 'secret/', ''])
def test_fetches_and_imports_wherever_the_zip_keeps_its_files(inside, publish, tmp_path):
    folder = fetch(publish(inside), tmp_path / 'models')
    assert folder == tmp_path / 'models' / 'secret'
    assert os.listdir(tmp_path / 'models') == ['secret']
    assert sorted(os.listdir(folder)) == sorted([*FILES, 'last.weights.h5'])
    fetched = network()
    weights.load_weights(fetched, folder / 'last.weights.h5')
    assert_weights(fetched)


def test_an_address_may_have_a_query(publish, tmp_path):
    release = publish()
    folder = fetch(Release(f'{release.url}?dl=1', release.sha256), tmp_path)
    assert (folder / 'last.weights.h5').is_file()


def test_the_checkpoint_stays_as_it_was_released(publish, checkpoint, tmp_path):
    folder = fetch(publish(), tmp_path)
    for name in FILES:
        assert sha256(folder / name) == sha256(checkpoint / name)


def test_the_folder_loads_in_spite_of_the_challenges_config(publish, tmp_path):
    config = '{"model_dir": "models/secret", "random_seed": 7311060}'
    folder = fetch(publish(more={'models/secret/config.json': config}), tmp_path)
    assert (folder / 'challenge_config.json').read_text() == config
    assert_weights(
        registry.Networks(
            data_set='pixels', build=lambda _: network(), configs=[{}], import_tf1=import_tf1
        ).load(str(folder))
    )


def test_a_second_fetch_does_nothing(publish, tmp_path, capsys):
    folder = fetch(publish(), tmp_path)
    before = (folder / 'last.weights.h5').stat().st_mtime_ns
    nowhere = Release('http://127.0.0.1:1/secret.zip', '0' * 64)
    assert fetch(nowhere, tmp_path) == folder
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
        fetch(publish(), tmp_path)
    assert str(folder) in str(caught.value)
    assert os.listdir(folder) == before


def test_a_zip_with_another_digest_is_not_unpacked(publish, tmp_path):
    release = Release(publish().url, '0' * 64)
    assert f'expected SHA-256 {release.sha256}' in refusal(release, tmp_path)


def test_a_download_that_breaks_off(publish, site, tmp_path):
    release = publish()
    message = refusal(Release(f'{site[1]}/truncated/secret.zip', release.sha256), tmp_path)
    assert 'found only' in message


def test_an_address_without_a_file(site, tmp_path):
    assert 'HTTP status 404' in refusal(Release(f'{site[1]}/absent.zip', '0' * 64), tmp_path)


def test_a_zip_that_writes_elsewhere(publish, tmp_path):
    message = refusal(publish(more={'../../evil': b'evil'}), tmp_path)
    assert "'../../evil'" in message


def test_a_zip_without_a_checkpoint(site, tmp_path):
    with zipfile.ZipFile(site[0] / 'other.zip', 'w') as archive:
        archive.writestr('models/secret/readme.txt', 'moved')
    release = Release(f'{site[1]}/other.zip', sha256(site[0] / 'other.zip'))
    assert 'found none' in refusal(release, tmp_path)


def test_a_zip_with_two_models(publish, tmp_path):
    release = publish(more={'models/natural/checkpoint-24900.index': b''})
    assert 'found models/natural, models/secret' in refusal(release, tmp_path)


def test_a_checkpoint_of_another_network(publish, tmp_path):
    def wider():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    message = refusal(publish(), tmp_path, wider)
    assert 'float32 [4, 2]; found float32 [3, 2]' in message


def test_an_output_folder_that_cannot_be_made(publish, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(UserError, match='cannot write .*--output_dir'):
        fetch(publish(), tmp_path / 'file' / 'models')


def test_a_release_is_chosen_by_name():
    assert chosen(RELEASES, 'natural') is RELEASES['natural']


@pytest.mark.parametrize('name', [None, '', 'best'])
def test_the_name_must_be_a_released_one(name):
    with pytest.raises(
        UserError, match=f'natural, secret; found {name or "none"}. For example --name=secret.'
    ):
        chosen(RELEASES, name)
