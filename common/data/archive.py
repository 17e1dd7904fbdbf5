"""Image data sets from TensorFlow Datasets, in their original order and verified.

TFDS stores examples shuffled. The challenge's checker and batches depend on the original order, so
the loader restores it and compares the result with published digests. The files that the challenges
themselves read, which are in that order, are read too. The data set itself (its name, sizes,
digests, how to restore the order) is passed as an `Archive`.
"""

import dataclasses
import gzip
import http.client
import os
import pathlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds

from common.errors import UserError, reason

_PROBE_SECONDS = 4


class Unavailable(UserError):
    """A data set is not there and cannot be downloaded.

    Args:
        what: which data set could not be loaded, from where and why, without a full stop.
        remedy: what to do, as sentences.
    """

    def __init__(self, what: str, remedy: str):
        super().__init__(f'{what}. {remedy}')
        self.what = what


@dataclasses.dataclass(frozen=True)
class Files:
    """A data set as its authors publish it.

    Attributes:
        names: split -> its files in the original order, each of which may also be compressed by
            gzip and end in '.gz'.
        read: (contents of a split's files) -> images [n, h, w, c] uint8, labels [n] uint8; raises
            what it likes for damaged ones.
        folder: what a folder of them is usually called.
    """

    names: dict[str, tuple[str, ...]]
    read: Callable[[list[bytes]], tuple[np.ndarray, np.ndarray]]
    folder: str

    def place(self, folder: str) -> pathlib.Path | None:
        """Where in a folder such files are: directly or below `self.folder`; None without any."""
        for place in (pathlib.Path(folder), pathlib.Path(folder, self.folder)):
            if any(_path(place, name) for names in self.names.values() for name in names):
                return place
        return None

    def load(self, place: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a split; not verified.

        Raises:
            UserError: files are missing or damaged.
        """
        paths = {name: _path(place, name) for name in self.names[split]}
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            raise UserError(
                f'expected {", ".join(paths)} in {place}; missing {", ".join(missing)}. Copy the '
                'whole folder, or name one of data sets prepared by TensorFlow Datasets.'
            )
        try:
            return self.read([_contents(path) for path in paths.values() if path])
        except Exception as error:  # whatever damaged bytes make parsers raise
            raise UserError(
                f'expected whole files {", ".join(paths)} in {place}; found damaged ones '
                f'({type(error).__name__}: {reason(error)}). Copy or fetch them again.'
            ) from error


def _path(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    paths = (folder / name, folder / f'{name}.gz')
    return next((path for path in paths if os.path.isfile(path)), None)


def _contents(path: pathlib.Path) -> bytes:
    contents = path.read_bytes()
    return gzip.decompress(contents) if path.suffix == '.gz' else contents


@dataclasses.dataclass(frozen=True)
class Archive:
    """A data set as TFDS keeps it, or as its authors publish it.

    Attributes:
        name: its name in TFDS.
        host: address that must answer before a download is tried.
        sizes: number of examples of each split.
        digests: what `digest` must return for each split in its original order.
        original_index: (stored columns, split) -> [n] original position of each stored example.
        digest: (images [n, h, w, c] uint8, labels [n] uint8) -> digests to compare.
        stand_in: what a user can do without this data set, as the end of a sentence.
        files: the files that its authors publish; None if they are not read.
    """

    name: str
    host: str
    sizes: dict[str, int]
    digests: dict[str, tuple[str, ...]]
    original_index: Callable[[dict[str, np.ndarray], str], np.ndarray]
    digest: Callable[[np.ndarray, np.ndarray], tuple[str, ...]]
    stand_in: str
    files: Files | None = None

    def load(self, split: str, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images [n, h, w, c] uint8 and labels [n] uint8 of a split, in the original order.

        Args:
            split: 'train' or 'test'.
            data_dir: folder of prepared data sets, or of this data set's published files; '~' is
                the home folder. None follows TFDS's own rules (`TFDS_DATA_DIR`, else
                `~/tensorflow_datasets`).

        Raises:
            Unavailable: not prepared and not downloadable.
            UserError: not the published data.
        """
        data_dir = data_dir and os.path.expanduser(data_dir)
        place = self.files.place(data_dir) if self.files and data_dir else None
        if self.files and place:
            images, labels = self.files.load(place, split)
            self._verify(images, labels, split, str(place))
            return images, labels
        stored = self._read(split, data_dir)
        found = len(stored['label'])
        if found != self.sizes[split]:
            self._refuse(split, data_dir, f'{found:,} examples, expected {self.sizes[split]:,}')
        position = np.asarray(self.original_index(stored, split))
        if not np.array_equal(np.sort(position), np.arange(found)):
            self._refuse(split, data_dir, 'an order that cannot be restored')
        order = np.argsort(position)
        images, labels = stored['image'][order], stored['label'][order].astype(np.uint8)
        self._verify(images, labels, split, data_dir)
        return images, labels

    def _verify(
        self, images: np.ndarray, labels: np.ndarray, split: str, data_dir: str | None
    ) -> None:
        if self.digest(images, labels) != self.digests[split]:
            self._refuse(split, data_dir, 'contents whose MD5 differs from the published data')

    def _read(self, split: str, data_dir: str | None) -> dict[str, np.ndarray]:
        try:
            builder = tfds.builder(self.name, data_dir=data_dir)
            if not builder.is_prepared():
                self._download(builder)
            # One thread reads the shards in order; the order is checked afterwards anyway.
            stored = builder.as_dataset(
                split=split, batch_size=-1, read_config=tfds.ReadConfig(interleave_cycle_length=1)
            )
            return {key: value.numpy() for key, value in stored.items()}
        except UserError:
            raise
        except Exception as error:  # TFDS passes on whatever its readers and downloaders raise
            raise self._unavailable(data_dir, f'{type(error).__name__}: {reason(error)}') from error

    def _download(self, builder: tfds.core.DatasetBuilder) -> None:
        if not _reachable(self.host):
            raise self._unavailable(
                str(builder.data_dir), f'not prepared there, and {self.host} cannot be reached'
            )
        builder.download_and_prepare()

    def _unavailable(self, data_dir: str | None, why: str) -> Unavailable:
        return Unavailable(
            f'the data set {self.name} could not be loaded from {_place(data_dir)} ({why})',
            'Name the folder of a prepared copy with --data_dir or the environment variable '
            'TFDS_DATA_DIR, connect to a network so that TensorFlow Datasets can download it, or '
            f'{self.stand_in}.',
        )

    def _refuse(self, split: str, data_dir: str | None, found: str) -> None:
        raise UserError(
            f'the {split} split of {self.name} in {_place(data_dir)} is not the published data '
            f'set: it has {found}. Remove that copy and fetch it again, or let TensorFlow Datasets '
            'prepare it.'
        )


def _place(data_dir: str | None) -> str:
    return data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'


def _reachable(address: str) -> bool:
    """Whether a web server answers within seconds; TFDS alone would retry for minutes."""
    answered = threading.Event()

    def probe() -> None:
        try:
            with urllib.request.urlopen(address, timeout=_PROBE_SECONDS):
                answered.set()
        except urllib.error.HTTPError:  # an answer, too
            answered.set()
        except (OSError, http.client.HTTPException):
            pass

    # In a thread, because name resolution ignores the timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answered.is_set()
