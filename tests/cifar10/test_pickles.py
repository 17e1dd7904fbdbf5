"""The challenge's folder of pickles is read in its order; nothing in a pickle is executed."""

import dataclasses
import io
import os
import pickle
import struct

import numpy as np
import pytest

from cifar10 import dataset
from common.errors import UserError

PER_FILE = 3
NAMES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack('<i', len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def pickled(images, labels):
    """A file as published: channels first, and NumPy's modules under their names of that time."""
    file = io.BytesIO()
    batch = {
        b'batch_label': b'testing batch 1 of 1',
        b'labels': [int(label) for label in labels],
        b'data': np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1)),
        b'filenames': [b'domestic_cat_s_000907.png'] * len(images),
    }
    Python2(file, protocol=2).dump(batch)
    return file.getvalue().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes a few images: (folder, {split: (images, labels)})."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, names in NAMES.items():
        n = PER_FILE * len(names)
        images = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
        labels = rng.integers(0, 10, n, np.uint8)
        splits[split] = images, labels
        for i, name in enumerate(names):
            part = slice(i * PER_FILE, (i + 1) * PER_FILE)
            (tmp_path / name).write_bytes(pickled(images[part], labels[part]))
    archive = dataclasses.replace(
        dataset.ARCHIVE,
        sizes={split: len(labels) for split, (_, labels) in splits.items()},
        digests={split: dataset._digest(*arrays) for split, arrays in splits.items()},
    )
    monkeypatch.setattr(dataset, 'ARCHIVE', archive)
    return tmp_path, splits


@pytest.mark.parametrize('split', ['train', 'test'])
@pytest.mark.parametrize('below', [True, False])
def test_images_come_in_the_order_of_the_files(published, split, below):
    folder, splits = published
    if below:  # as the archive unpacks, in the folder that holds it
        (folder / 'cifar-10-batches-py').mkdir()
        for name in (name for names in NAMES.values() for name in names):
            os.rename(folder / name, folder / 'cifar-10-batches-py' / name)
    examples = dataset.load(split, data_dir=str(folder))
    images, labels = splits[split]
    np.testing.assert_array_equal(examples.x, images)
    np.testing.assert_array_equal(examples.y, labels)
    assert (examples.x.dtype, examples.y.dtype) == (np.float32, np.int32)
    assert examples.name == f'CIFAR-10 {split}'


def test_the_home_folder_may_be_written_as_a_tilde(published, monkeypatch):
    folder, _ = published
    monkeypatch.setenv('HOME', str(folder.parent))
    assert len(dataset.load('test', data_dir=f'~/{folder.name}')) == PER_FILE


def test_files_of_python_3_are_read_too(published):
    folder, splits = published
    images, labels = splits['test']
    data = images.transpose(0, 3, 1, 2).reshape(PER_FILE, -1).copy()
    batch = {b'data': data, b'labels': labels.tolist()}
    (folder / 'test_batch').write_bytes(pickle.dumps(batch, protocol=3))
    np.testing.assert_array_equal(dataset.load('test', data_dir=str(folder)).x, images)


def refusal(folder, split='test'):
    with pytest.raises(UserError) as caught:
        dataset.load(split, data_dir=str(folder))
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(published):
    folder, _ = published
    (folder / 'data_batch_3').unlink()
    (folder / 'test_batch').unlink()
    assert f'in {folder}; missing data_batch_3. Copy' in refusal(folder, 'train')
    assert 'missing test_batch.' in refusal(folder)


def test_files_in_another_order_are_refused(published):
    folder, _ = published
    first, second, third = (folder / name for name in ('data_batch_1', 'data_batch_2', 'x'))
    os.rename(first, third), os.rename(second, first), os.rename(third, second)
    assert 'the train split of cifar10' in refusal(folder, 'train')


class Harmful:
    """Unpickles as a call of os.system."""

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)

    def __init__(self, path):
        self.path = path


def test_nothing_in_a_pickle_is_executed(published, tmp_path):
    folder, _ = published
    for harmful in (Harmful(tmp_path / 'done'), {b'data': Harmful(tmp_path / 'done')}):
        (folder / 'test_batch').write_bytes(pickle.dumps(harmful))
        assert 'UnpicklingError: it asks for posix.system' in refusal(folder)
    assert not (tmp_path / 'done').exists()


def batch(**changes):
    contents = {'data': np.zeros((2, 3072), np.uint8), 'labels': [0, 9], **changes}
    return pickle.dumps({k.encode(): v for k, v in contents.items()}, protocol=3)


@pytest.mark.parametrize(
    'contents',
    [
        b'',
        b'words',
        pickle.dumps([1, 2]),
        pickle.dumps({b'data': 3}),
        batch(data=np.zeros((2, 3071), np.uint8)),
        batch(data=np.zeros((3, 3072), np.uint8)),
        batch(data=np.zeros((2, 3072), np.float32)),
        batch(data=[[0] * 3072] * 2),
        batch(labels=[0, 10]),
        batch(labels=[0, -1]),
        batch(labels=['a', 'b']),
        batch(labels=[]),
        batch()[:-40],
        batch()[: len(batch()) // 2],
    ],
)
def test_damaged_files_are_refused(published, contents):
    folder, _ = published
    (folder / 'test_batch').write_bytes(contents)
    assert f'expected whole files test_batch in {folder}; found damaged' in refusal(folder)


@pytest.mark.parametrize('position', [40, 125, 126, 300, 1000, 5000, -30])
def test_a_flipped_bit_never_changes_an_image_unnoticed(published, position):
    folder, splits = published
    contents = bytearray((folder / 'test_batch').read_bytes())
    contents[position] ^= 1
    (folder / 'test_batch').write_bytes(contents)
    try:
        found = dataset.load('test', data_dir=str(folder))
    except UserError as error:
        assert 'found damaged' in str(error) or 'MD5 differs' in str(error)
    else:  # it was in a name
        np.testing.assert_array_equal(found.x, splits['test'][0])
        np.testing.assert_array_equal(found.y, splits['test'][1])
