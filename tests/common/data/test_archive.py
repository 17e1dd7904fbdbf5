"""Data sets in their original order, refused where they are not the published ones."""

import hashlib
import http.server
import os
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from common.data import archive as archive_module
from common.data.archive import Archive, Unavailable
from common.errors import UserError

N = 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 2, 2, 1), np.uint8)
LABELS = RNG.integers(0, 10, N).astype(np.uint8)
SHUFFLE = RNG.permutation(N)  # original position of each stored example
NOBODY_LISTENS = 'http://127.0.0.1:9/'


def md5s(images, labels):
    return hashlib.md5(images.tobytes()).hexdigest(), hashlib.md5(labels.tobytes()).hexdigest()


def archive(**changes):
    return Archive(
        **{
            'name': 'made_up',
            'host': NOBODY_LISTENS,
            'sizes': {'test': N},
            'digests': {'test': md5s(IMAGES, LABELS)},
            'digest': md5s,
            'original_index': lambda stored, split: stored['position'],
            'stand_in': 'draw your own',
        }
        | changes
    )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '*')  # no proxy for addresses of this machine


class Builder:
    """A TFDS builder, as far as the loader uses it."""

    data_dir = '/prepared/made_up/1.0.0'

    def __init__(self, images=IMAGES, labels=LABELS, position=SHUFFLE, prepared=True, error=None):
        self.stored = {
            'image': images[position],
            'label': labels[position].astype(np.int64),
            'position': position,
        }
        self.prepared, self.error = prepared, error
        self.asked, self.downloads = [], 0

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self):
        self.downloads += 1
        if self.error:
            raise self.error

    def as_dataset(self, *, split, batch_size, read_config):
        assert batch_size == -1 and read_config.interleave_cycle_length == 1
        self.asked.append(split)
        if self.prepared and self.error:
            raise self.error
        return {name: tf.constant(column) for name, column in self.stored.items()}


@pytest.fixture
def built(monkeypatch):
    """Makes tfds.builder return the given Builder and record its arguments."""

    def install(builder):
        builder.arguments = []

        def make(name, data_dir=None):
            builder.arguments.append((name, data_dir))
            return builder

        monkeypatch.setattr(tfds, 'builder', make)
        return builder

    return install


def refusal(archive, *args):
    with pytest.raises(UserError) as caught:
        archive.load(*args)
    message = str(caught.value)
    assert '\n' not in message
    return message


def test_the_original_order_is_restored(built):
    builder = built(Builder())
    images, labels = archive().load('test')
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.dtype == labels.dtype == np.uint8
    assert builder.asked == ['test'] and builder.downloads == 0
    assert builder.arguments == [('made_up', None)]


def test_the_folder_is_passed_on(built):
    builder = built(Builder())
    archive().load('test', '/somewhere')
    archive().load('test', '~/somewhere')
    home = os.path.expanduser('~')
    assert builder.arguments == [('made_up', '/somewhere'), ('made_up', f'{home}/somewhere')]


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    'images, labels',
    [
        (changed(IMAGES, (5, 0, 0, 0), IMAGES[5, 0, 0, 0] ^ 1), LABELS),
        (IMAGES, changed(LABELS, 5, LABELS[5] ^ 1)),
        (IMAGES[::-1], LABELS[::-1]),
    ],
    ids=['a pixel', 'a label', 'the order'],
)
def test_altered_contents_are_refused(built, images, labels):
    built(Builder(images, labels))
    message = refusal(archive(), 'test', '/somewhere')
    assert 'the test split of made_up in /somewhere is not the published data set' in message
    assert 'MD5' in message


@pytest.mark.parametrize('position', [SHUFFLE[:-1], np.append(SHUFFLE, 0), SHUFFLE[:0]])
def test_another_number_of_examples_is_refused(built, position):
    built(Builder(position=position))
    assert f'{len(position)} examples, expected {N}' in refusal(archive(), 'test')


@pytest.mark.parametrize(
    'position',
    [changed(SHUFFLE, 3, SHUFFLE[4]), SHUFFLE + 1, SHUFFLE[:-1], SHUFFLE.astype(float) + 0.5],
)
def test_an_order_that_is_none_is_refused(built, position):
    built(Builder())
    odd = archive(original_index=lambda stored, split: position)
    assert 'an order that cannot be restored' in refusal(odd, 'test')


def test_errors_of_tfds_are_one_line(built):
    built(Builder(error=ValueError('first line\nsecond line')))
    message = refusal(archive(), 'test', '/somewhere')
    assert 'ValueError: first line)' in message and 'second' not in message
    for remedy in ('--data_dir', 'TFDS_DATA_DIR', 'draw your own'):
        assert remedy in message


def test_the_message_names_the_folder_of_the_environment(built, monkeypatch):
    built(Builder(error=ValueError('')))
    monkeypatch.setenv('TFDS_DATA_DIR', '/from/environment')
    assert '/from/environment' in refusal(archive(), 'test')


def test_ctrl_c_is_no_error_of_tfds(built):
    built(Builder(error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        archive().load('test')


def test_without_copy_and_network_it_gives_up_at_once(built):
    builder = built(Builder(prepared=False))
    start = time.monotonic()
    message = refusal(archive(), 'test')
    assert time.monotonic() - start < 4
    assert f'not prepared there, and {NOBODY_LISTENS} cannot be reached' in message
    assert builder.data_dir in message
    assert builder.downloads == 0


def test_only_what_is_not_there_is_unavailable(built):
    built(Builder(prepared=False))
    with pytest.raises(Unavailable) as caught:
        archive().load('test')
    what = f'the data set made_up could not be loaded from {Builder.data_dir} (not prepared there'
    assert caught.value.what.startswith(what) and caught.value.what.endswith('be reached)')
    assert str(caught.value).startswith(f'{caught.value.what}. Name the folder')
    built(Builder(changed(IMAGES, 0, 0)))
    with pytest.raises(UserError) as caught:
        archive().load('test')
    assert not isinstance(caught.value, Unavailable)


def test_a_host_that_never_answers_is_given_up_after_seconds(built, monkeypatch):
    built(Builder(prepared=False))
    release = threading.Event()

    def hang(*_, **__):
        release.wait(30)
        raise TimeoutError

    monkeypatch.setattr(archive_module.urllib.request, 'urlopen', hang)
    monkeypatch.setattr(archive_module, '_PROBE_SECONDS', 0.2)
    start = time.monotonic()
    assert 'cannot be reached' in refusal(archive(), 'test')
    assert time.monotonic() - start < 4
    release.set()


@pytest.fixture
def host(request):
    """Address of a server on this machine that answers as the test wants."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 (the name that http.server calls)
            self.wfile.write(request.param)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}/'
        server.shutdown()
        thread.join()


FOUND, NOT_FOUND = b'HTTP/1.0 200 OK\r\n\r\n', b'HTTP/1.0 404 Not Found\r\n\r\n'


@pytest.mark.parametrize('host', [FOUND, NOT_FOUND], indirect=True, ids=['200', '404'])
def test_a_host_that_answers_is_downloaded_from(built, host):
    builder = built(Builder(prepared=False))
    images, _ = archive(host=host).load('test')
    np.testing.assert_array_equal(images, IMAGES)
    assert builder.downloads == 1


@pytest.mark.parametrize('host', [b'SSH-2.0-OpenSSH_9.6\r\n'], indirect=True, ids=['ssh'])
@pytest.mark.filterwarnings('error::pytest.PytestUnhandledThreadExceptionWarning')
def test_a_host_that_is_no_web_server_is_none(built, host):
    built(Builder(prepared=False))
    assert 'cannot be reached' in refusal(archive(host=host), 'test')


@pytest.mark.parametrize('host', [FOUND], indirect=True, ids=['200'])
def test_a_failed_download_is_one_line(built, host):
    built(Builder(prepared=False, error=OSError(28, 'No space left on device')))
    assert 'No space left on device' in refusal(archive(host=host), 'test', '/somewhere')
