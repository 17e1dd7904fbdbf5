"""Downloads: complete and verified before they get their name, and unpacked with care."""

import hashlib
import http.client
import lzma
import os
import pathlib
import queue
import re
import stat
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator

import tqdm

from common.errors import UserError
from common.files import replacing

TIMEOUT_SECONDS = 20.0
UNPACKED_LIMIT = 500_000_000
_BLOCK_BYTES = 1 << 16
_TRY_AGAIN = (
    'Check the connection (behind a proxy, set https_proxy) and run the same command again.'
)
# Which one a damaged zip raises depends on the place of the damage.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def fetch(
    url: str, path: str | os.PathLike, sha256: str, *, timeout: float = TIMEOUT_SECONDS
) -> None:
    """Downloads a file, which gets its name only if its contents have the expected digest.

    Args:
        url: http or https address.
        path: where the file goes.
        sha256: its expected digest, 64 lower-case hexadecimal digits.
        timeout: seconds to wait for the first answer, and for each further piece.

    Raises:
        UserError: no answer, a refusal, a connection that broke off, another digest, or a folder
            that cannot be written. Nothing is left at `path`.
    """
    with replacing(path) as temporary:
        found = _download(url, temporary, timeout)
        if found != sha256:
            raise UserError(
                f'expected SHA-256 {sha256} from {url}; found {found}. Nothing was kept. Run the '
                'same command again; if it happens again, something on the way or at that address '
                'has changed the file.'
            )


def _download(url: str, path: pathlib.Path, timeout: float) -> str:
    digest = hashlib.sha256()
    with (
        _ask(url, timeout) as response,
        open(path, 'wb') as file,
        tqdm.tqdm(
            total=response.length,
            desc=url.rpartition('/')[2],
            unit='B',
            unit_scale=True,
            disable=None,
            dynamic_ncols=True,
        ) as bar,
    ):
        for block in _blocks(response, url):
            file.write(block)
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _ask(url: str, timeout: float) -> http.client.HTTPResponse:
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=timeout))
        except Exception as error:
            answers.put(error)

    # In a thread, because name resolution ignores the timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise UserError(
            f'expected a download from {url}; found no answer within {timeout:g} seconds. '
            f'{_TRY_AGAIN}'
        ) from None
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        raise UserError(
            f'expected a download from {url}; found HTTP status {answer.code} ({answer.reason}). '
            'Run the same command again later; if it happens again, the file has moved.'
        ) from answer
    if isinstance(answer, (OSError, http.client.HTTPException)):
        reason = getattr(answer, 'reason', answer)
        raise UserError(
            f'expected a download from {url}; found no way to reach it ({_words(reason)}). '
            f'{_TRY_AGAIN}'
        ) from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _blocks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    total, received = response.length, 0
    while received != total:
        size = _BLOCK_BYTES if total is None else min(_BLOCK_BYTES, total - received)
        try:
            block = response.read1(size)
        except (OSError, http.client.HTTPException) as error:
            raise _broken_off(url, total, received, _words(error)) from error
        if not block and total is None:
            return
        if not block:
            raise _broken_off(url, total, received, 'the connection was closed')
        received += len(block)
        yield block


def _broken_off(url: str, total: int | None, received: int, reason: str) -> UserError:
    expected = 'all bytes' if total is None else f'{total:,} bytes'
    return UserError(
        f'expected {expected} from {url}; found only {received:,} ({reason}). Nothing was kept. '
        f'{_TRY_AGAIN}'
    )


def unpack(
    zip_path: str | os.PathLike, folder: str | os.PathLike, *, limit: int = UNPACKED_LIMIT
) -> None:
    """Unpacks a zip into a new folder, wholly or not at all.

    Args:
        zip_path: the zip.
        folder: where its contents go; must not exist, or be empty.
        limit: how many bytes the contents may have together.

    Raises:
        UserError: the zip is damaged or larger than `limit`, an entry leaves the folder or is no
            plain file, or the folder cannot be written or is not empty.
    """
    zip_path, folder = pathlib.Path(zip_path), pathlib.Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f'.{folder.name}.') as temporary:
            # A temporary folder is closed to other users; what is made inside is not.
            inside = pathlib.Path(temporary) / folder.name
            inside.mkdir()
            _extract(zip_path, inside, limit)
            os.rename(inside, folder)
    except OSError as error:
        raise UserError(
            f'cannot unpack {zip_path} to {folder}: {_words(error)}. Check that the zip is there '
            'and whole, and that the folder can be written, is not there yet and has room.'
        ) from error


def _extract(zip_path: pathlib.Path, folder: pathlib.Path, limit: int) -> None:
    try:
        with zipfile.ZipFile(zip_path) as archive:
            entries = archive.infolist()
            for entry in entries:
                _refuse_escape(zip_path, entry)
            # zipfile never unpacks more of an entry than the size that is declared here.
            size = sum(entry.file_size for entry in entries)
            if size > limit:
                raise UserError(
                    f'expected at most {limit:,} bytes in {zip_path}; found {size:,}. Nothing was '
                    'unpacked. Do not use this file.'
                )
            archive.extractall(folder)
    except _DAMAGE as error:
        raise UserError(
            f'expected a whole zip at {zip_path}; found a damaged one ({_words(error)}). Nothing '
            'was unpacked. Fetch it again.'
        ) from error


def _refuse_escape(zip_path: pathlib.Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the zip was made without Unix modes
    outside = (
        not name
        or name.startswith('/')
        or '\\' in name
        or re.match('[A-Za-z]:', name)
        or '..' in name.split('/')
    )
    if outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        found = 'leaves it' if outside else 'is neither a plain file nor a folder'
        raise UserError(
            f'expected only files inside one folder in {zip_path}; found the entry {name!r}, which '
            f'{found}. Nothing was unpacked. Do not use this file.'
        )


def _words(error: object) -> str:
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:200]
