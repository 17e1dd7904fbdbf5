"""Downloads and zips: incomplete, unexpected or harmful ones leave nothing behind."""

import hashlib
import http.server
import os
import socket
import stat
import threading
import time
import zipfile

import pytest

from common.errors import UserError
from common.networks import download

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/whole and /unsized serve CONTENT; the others misbehave as their names say."""

    def do_GET(self):
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', '/whole')
            self.end_headers()
        elif self.path in ('/whole', '/truncated', '/stalling', '/unsized', '/overlong'):
            self.send_response(200)
            if self.path != '/unsized':
                self.send_header('Content-Length', str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(self.body())
            self.wfile.flush()
            if self.path == '/stalling':
                self.server.released.wait(10)
        elif self.path == '/silent':
            self.server.released.wait(10)
        elif self.path == '/garbage':
            self.wfile.write(b'no status line\r\n\r\n')
        else:
            self.send_error(404)

    def body(self):
        if self.path in ('/truncated', '/stalling'):
            return CONTENT[:100_000]
        return CONTENT + b'more' if self.path == '/overlong' else CONTENT

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def address():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.released = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.released.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def refused_download(url, folder, *, sha256=SHA256, timeout=10.0):
    with pytest.raises(UserError) as caught:
        download.fetch(url, folder / 'file', sha256, timeout=timeout)
    assert os.listdir(folder) == []
    message = str(caught.value)
    assert '\n' not in message
    assert url in message
    return message


@pytest.mark.parametrize('page', ['whole', 'moved', 'unsized', 'overlong'])
def test_a_whole_file_arrives(page, address, tmp_path):
    download.fetch(f'{address}/{page}', tmp_path / 'new' / 'file', SHA256)
    assert os.listdir(tmp_path / 'new') == ['file']
    assert (tmp_path / 'new' / 'file').read_bytes() == CONTENT


def test_wrong_digest_leaves_nothing(address, tmp_path):
    expected = '0' * 64
    message = refused_download(f'{address}/whole', tmp_path, sha256=expected)
    assert f'expected SHA-256 {expected}' in message
    assert f'found {SHA256}' in message


def test_wrong_digest_keeps_the_file_that_was_there(address, tmp_path):
    (tmp_path / 'file').write_text('old')
    with pytest.raises(UserError, match='expected SHA-256'):
        download.fetch(f'{address}/whole', tmp_path / 'file', '0' * 64)
    assert (tmp_path / 'file').read_text() == 'old'


def test_truncated_download(address, tmp_path):
    message = refused_download(f'{address}/truncated', tmp_path)
    assert 'expected 256,000 bytes' in message
    assert 'found only 100,000' in message


def test_download_that_stalls(address, tmp_path):
    message = refused_download(f'{address}/stalling', tmp_path, timeout=0.5)
    assert 'found only 100,000 (timed out)' in message


def test_server_that_says_nothing(address, tmp_path):
    start = time.monotonic()
    message = refused_download(f'{address}/silent', tmp_path, timeout=0.3)
    assert time.monotonic() - start < 5
    assert 'found no ' in message
    assert 'run the same command again' in message


def test_page_that_is_not_there(address, tmp_path):
    assert 'found HTTP status 404' in refused_download(f'{address}/absent', tmp_path)


def test_answer_that_is_not_http(address, tmp_path):
    message = refused_download(f'{address}/garbage', tmp_path)
    assert 'found no way to reach it (no status line' in message


def test_no_server(tmp_path):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{unused.getsockname()[1]}/whole'
        message = refused_download(url, tmp_path)
    assert 'found no way to reach it (Connection refused)' in message
    assert 'https_proxy' in message


def test_folder_that_cannot_be_written(address, tmp_path):
    (tmp_path / 'blocked').write_text('a file')
    with pytest.raises(UserError, match='cannot write'):
        download.fetch(f'{address}/whole', tmp_path / 'blocked' / 'file', SHA256)


def test_an_interruption_by_the_user_leaves_nothing(address, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.tqdm.tqdm, 'update', interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.fetch(f'{address}/whole', tmp_path / 'file', SHA256)
    assert os.listdir(tmp_path) == []


def make_zip(path, entries, compression=zipfile.ZIP_DEFLATED):
    """entries: [(name or ZipInfo, bytes)]."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def refused_zip(path, **kwargs):
    """The message, after a check that nothing was written anywhere beside the zip."""
    before = sorted(path.parent.rglob('*'))
    with pytest.raises(UserError) as caught:
        download.unpack(path, path.parent / 'inner' / 'unpacked', **kwargs)
    (path.parent / 'inner').rmdir()  # fails unless it is empty
    assert sorted(path.parent.rglob('*')) == before
    message = str(caught.value)
    assert '\n' not in message
    return message


def test_unpacks_files_and_folders(tmp_path):
    entries = [('a/', b''), ('a/b/c.txt', b'deep'), ('a..b', b'dots'), ('empty', b'')]
    zip_path = make_zip(tmp_path / 'z.zip', entries)
    download.unpack(zip_path, tmp_path / 'inner' / 'unpacked')
    found = {
        str(path.relative_to(tmp_path / 'inner')): path.read_bytes()
        for path in (tmp_path / 'inner').rglob('*')
        if path.is_file()
    }
    assert found == {'unpacked/a/b/c.txt': b'deep', 'unpacked/a..b': b'dots', 'unpacked/empty': b''}
    assert os.listdir(tmp_path / 'inner') == ['unpacked']


def test_unpacked_folders_are_as_open_as_any_other(tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', b'')])
    download.unpack(zip_path, tmp_path / 'unpacked')
    (tmp_path / 'ordinary').mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ('unpacked', 'ordinary')]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    'name',
    ['../evil', 'a/../../evil', 'a/..', '/evil', '//evil', '..\\evil', 'a\\b', 'C:evil', 'c:/evil'],
)
def test_an_entry_that_leaves_the_folder_is_refused(name, tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('good', b'good'), (name, b'evil')])
    message = refused_zip(zip_path)
    assert repr(name) in message
    assert 'leaves it' in message


@pytest.mark.parametrize('kind', [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_an_entry_that_is_no_plain_file_is_refused(kind, tmp_path):
    link = zipfile.ZipInfo('link')
    link.create_system = 3  # Unix
    link.external_attr = (kind | 0o777) << 16
    message = refused_zip(make_zip(tmp_path / 'z.zip', [(link, b'/etc'), ('link/x', b'evil')]))
    assert "'link', which is neither a plain file nor a folder" in message


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', bytes(600)), ('b', bytes(401))])
    message = refused_zip(zip_path, limit=1000)
    assert 'expected at most 1,000 bytes' in message
    assert 'found 1,001' in message
    download.unpack(zip_path, tmp_path / 'unpacked', limit=1001)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', bytes(5_000_000))])
    true_size, lie = (5_000_000).to_bytes(4, 'little'), (10).to_bytes(4, 'little')
    zip_path.write_bytes(zip_path.read_bytes().replace(true_size, lie))
    assert 'Bad CRC-32' in refused_zip(zip_path, limit=1000)


@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_changed_contents_are_refused(compression, tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', b'good'), ('b', CONTENT)], compression)
    content = bytearray(zip_path.read_bytes())
    content[len(content) // 2] ^= 1
    zip_path.write_bytes(content)
    assert 'found a damaged one' in refused_zip(zip_path)


@pytest.mark.parametrize('size', [0, 100, -1])
def test_truncated_zips_are_refused(size, tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', CONTENT)])
    zip_path.write_bytes(zip_path.read_bytes()[:size])
    assert 'found a damaged one' in refused_zip(zip_path)


def test_a_zip_that_is_not_there(tmp_path):
    assert 'No such file' in refused_zip(tmp_path / 'z.zip')


def test_a_folder_that_is_in_the_way_is_kept(tmp_path):
    zip_path = make_zip(tmp_path / 'z.zip', [('a', b'new')])
    (tmp_path / 'unpacked').mkdir()
    (tmp_path / 'unpacked' / 'mine').write_text('old')
    with pytest.raises(UserError, match='cannot unpack'):
        download.unpack(zip_path, tmp_path / 'unpacked')
    assert sorted(os.listdir(tmp_path)) == ['unpacked', 'z.zip']
    assert os.listdir(tmp_path / 'unpacked') == ['mine']
