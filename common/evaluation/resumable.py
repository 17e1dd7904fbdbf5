"""Unfinished results on disk, so that an interrupted evaluation continues where it stopped."""

import glob
import hashlib
import os
import pathlib
import sys
import time
from typing import Any

import numpy as np

from common.distribution import hosts
from common.errors import reason
from common.files import replacing

_SECONDS_BETWEEN_WRITES = 20.0


class PartialResult:
    """One file with the state of one evaluation, finished or not; each host has its own.

    Attributes:
        path: path of this host's file (.npz).
        key: everything that determines the evaluation.

    Args:
        path: path of the first host's file (.npz); the others' are beside it.
        key: everything that determines the evaluation. A file with another key is not used.
    """

    def __init__(self, path: str | os.PathLike, key: str):
        self._first = pathlib.Path(path)
        self.path, index = self._first, hosts().index
        if index:
            self.path = self._first.with_suffix(f'.host{index}{self._first.suffix}')
        self.key = key
        self._written = time.monotonic()

    @classmethod
    def of(cls, folder: str | os.PathLike, name: str, *determines: Any) -> 'PartialResult':
        """The file of an evaluation in a folder, named after everything that determines it.

        Args:
            folder: the folder.
            name: beginning of the file's name.
            *determines: everything that the result depends on; equal `repr` means equal result.
        """
        key = repr((name, *determines))
        short = hashlib.sha256(key.encode()).hexdigest()[:16]
        return cls(pathlib.Path(os.path.expanduser(folder)) / f'{name}-{short}.npz', key)

    def read(self, default: dict[str, Any]) -> dict[str, Any]:
        """The state on disk; `default`, with a note on standard error, if the file is unusable.

        Args:
            default: name -> value where there is no state yet; its names are those read.

        Returns:
            Name -> array, or Python number in place of an array without dimensions.
        """
        if not self.path.exists():
            return default
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                if str(stored['key']) != self.key:
                    found = 'results of another network or setting'
                elif not default.keys() <= set(stored.files):
                    found = 'results in the form of another version of this program'
                else:
                    return {name: _plain(stored[name]) for name in default}
        except Exception as error:  # NumPy and zipfile raise many kinds for damaged files
            found = f'no results that can be read ({reason(error)})'
        print(f'note: {self.path} holds {found}; starting over', file=sys.stderr)
        return default

    def maybe_write(self, state: dict[str, Any]) -> None:
        """Writes the state (name -> array or number) if it was last written some time ago."""
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write(state)

    def write(self, state: dict[str, Any]) -> None:
        """Writes the state (name -> array or number), whole or not at all.

        Raises:
            UserError: the file cannot be written.
        """
        with replacing(self.path, suffix='.npz') as temporary:
            np.savez(temporary, key=np.array(self.key), **state)
        self._written = time.monotonic()

    def beside(self, suffix: str) -> pathlib.Path:
        """A file that belongs to the same evaluation and that all hosts share."""
        return self._first.with_suffix(suffix)

    def remove(self) -> None:
        """Removes the file, if there is one; the first host removes the others' as well."""
        self.path.unlink(missing_ok=True)
        if hosts().first:
            for path in self._first.parent.glob(f'{glob.escape(self._first.stem)}.host*.npz'):
                path.unlink(missing_ok=True)


def _plain(array: np.ndarray) -> Any:
    return array if array.ndim else array.item()
