"""Anybody's images and labels: what is not such a file gets one line."""

import numpy as np
import pytest

from common.data.own import read_arrays
from common.errors import UserError

X, Y = np.arange(4000.0).reshape(40, 10, 10), np.arange(40)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with good files and bad ones."""
    monkeypatch.chdir(tmp_path)
    np.save('x.npy', X)
    np.save('y.npy', Y)
    np.savez_compressed('both.npz', x=X, y=Y)
    (tmp_path / 'x.npz').write_bytes((tmp_path / 'x.npy').read_bytes())
    (tmp_path / 'both.npy').write_bytes((tmp_path / 'both.npz').read_bytes())
    damaged = bytearray((tmp_path / 'both.npz').read_bytes())
    damaged[60:160] = bytes(255 - byte for byte in damaged[60:160])
    (tmp_path / 'damaged.npz').write_bytes(damaged)
    header = (tmp_path / 'x.npy').read_bytes()
    (tmp_path / 'negative.npy').write_bytes(header.replace(b'(40, 10, 10)', b'(-4, 10, 10)'))
    (tmp_path / 'words.npy').write_bytes(header.replace(b"'shape'", b"'sha(e'"))
    return tmp_path


def test_both_forms_are_read(folder):
    for reference in ('both.npz', 'x.npy, y.npy'):
        x, y = read_arrays(reference)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize(
    ('reference', 'message'),
    [
        ('x.npz', r'several arrays \(.npz\) at x.npz; found a single array'),
        ('both.npy,y.npy', r'a single array \(.npy\) at both.npy; found a file of several'),
        ('x.npy,both.npy', r'a single array \(.npy\) at both.npy; found a file of several'),
        ('damaged.npz', 'damaged.npz cannot be read as an array of numbers'),
        ('negative.npy,y.npy', 'negative.npy cannot be read as an array of numbers'),
        ('words.npy,y.npy', 'words.npy cannot be read as an array of numbers'),
    ],
)
def test_other_files_get_one_line(folder, reference, message):
    with pytest.raises(UserError, match=message) as refused:
        read_arrays(reference)
    assert '\n' not in str(refused.value)
