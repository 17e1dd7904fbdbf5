"""Writing files so that an interruption never leaves half a file behind."""

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from common.errors import UserError, reason


@contextlib.contextmanager
def replacing(path: str | os.PathLike, suffix: str = '') -> Iterator[pathlib.Path]:
    """Yields a temporary path beside the file, and renames it to that file if the block succeeds.

    Args:
        path: where the finished file goes; '~' is the home folder. Missing parents are made. A
            symbolic link stays one: the file that it leads to is replaced. A file that is replaced
            keeps its permissions.
        suffix: ending of the temporary name, for writers that choose a format by it.

    Raises:
        UserError: the path names a folder or a read-only file, or its folder cannot be written
            (read-only, full, or a file is in the way).
    """
    if os.fspath(path).endswith(os.sep):  # which pathlib would drop
        raise UserError(
            f'expected the name of a file; found {path}, which names a folder. Choose another name.'
        )
    path = pathlib.Path(os.path.expanduser(path))
    target = pathlib.Path(os.path.realpath(path))
    temporary = None
    try:
        mode = _mode_to_write(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', suffix=suffix, dir=target.parent)
        os.close(handle)
        temporary = pathlib.Path(name)
        os.chmod(temporary, mode)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(
            f'cannot write {path}: {error.strerror or error}. Choose a folder that can be written '
            'and has room, and run the same command again.'
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _mode_to_write(path: pathlib.Path) -> int:
    """The permissions of the file that may be written at `path`; refuses what may not.

    Replacing a file needs no permission to write to it, so that a protected one would be lost.
    """
    try:
        found = os.stat(path).st_mode  # fails where symbolic links lead in a circle
    except (FileNotFoundError, NotADirectoryError):
        return 0o666 & ~_umask()
    if not stat.S_ISREG(found):
        raise UserError(
            f'cannot write {path}: it is a folder or a device, not a file. Choose another name.'
        )
    # An administrator may write every file; one that nobody may write is meant to stay.
    if not found & 0o222 or not os.access(path, os.W_OK):
        raise UserError(
            f'cannot write {path}: the file is read-only. Choose another name, or make it writable '
            'with chmod u+w.'
        )
    return stat.S_IMODE(found)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def require_writable(path: str | os.PathLike) -> None:
    """Fails early, before hours of work, if `path` cannot be written.

    Raises:
        UserError: it cannot.
    """
    with contextlib.suppress(_NotNow), replacing(path):
        raise _NotNow


def require_apart(
    outputs: Mapping[str, str | os.PathLike | None],
    inputs: Mapping[str, Iterable[str | os.PathLike | None]],
) -> None:
    """Refuses outputs that would replace an input or each other.

    Args:
        outputs: flag -> the file that it names; None for none. '~' is the home folder.
        inputs: flag -> the files that it names, of which only those that exist can be lost: a name
            in place of a file stays one.

    Raises:
        UserError: one would, whatever links lead there.
    """
    taken: dict[str, str] = {}
    for flag, paths in inputs.items():
        for path in filter(None, paths):
            real = os.path.realpath(os.path.expanduser(path))
            if os.path.exists(real):
                taken[real] = flag
    written: dict[str, str] = {}
    for flag, path in outputs.items():
        if not path:
            continue
        real = os.path.realpath(os.path.expanduser(path))
        if real in written:
            raise UserError(
                f'expected two files at {flag} and {written[real]}; found {path} at both. '
                'Choose another name for one of them.'
            )
        if real in taken:
            raise UserError(
                f'{flag} would replace {path}, which {taken[real]} reads. Give {flag} another name.'
            )
        written[real] = flag


def partial_folder(path: str | os.PathLike) -> pathlib.Path:
    """The folder that holds the parts of a file until it is complete.

    Args:
        path: of the file; '~' is the home folder.

    Raises:
        UserError: something else is in its place.
    """
    folder = pathlib.Path(f'{os.path.expanduser(path)}.partial')
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f'expected a folder of half-finished results, or nothing, at {folder}; '
            'found a file. Remove it, or choose another name.'
        )
    return folder


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike) -> Iterator[None]:
    """Holds a folder, which is made if need be, against others that call this.

    On systems without such locks nothing is held.

    Raises:
        BlockingIOError: another one holds it.
        OSError: the folder cannot be made or opened.
    """
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(opened)


class _NotNow(Exception):
    """Leaves `replacing` without replacing anything."""


def cannot_write(path: str | os.PathLike, error: Exception) -> UserError:
    """The error to raise when a long run can no longer write to its folder."""
    return UserError(
        f'cannot write to {path}: {reason(error)}. Free some room or make the folder '
        'writable, and run the same command again.'
    )


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + '\n')


def write_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an array as .npy, whole or not at all, under exactly this name.

    Raises:
        UserError: the file cannot be written.
    """
    # An open file, since np.save appends '.npy' to names without it.
    with replacing(path) as temporary, open(temporary, 'wb') as file:
        np.save(file, array)


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
