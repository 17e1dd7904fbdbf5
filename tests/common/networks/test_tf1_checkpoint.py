"""TF1 checkpoints can be read here and by TF1's Saver; damage is reported."""

import os

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.networks import tf1_checkpoint

NAMES = ('Variable', 'Variable_1')
SHAPES = ((3, 4), (4,))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]


@pytest.fixture
def prefix(tmp_path, arrays):
    prefix = tmp_path / 'checkpoint-300'
    tf1_checkpoint.write(prefix, NAMES, arrays, global_step=300)
    return prefix


def flip_a_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def data_file(prefix):
    return prefix.with_name(f'{prefix.name}.data-00000-of-00001')


def index_file(prefix):
    return prefix.with_name(f'{prefix.name}.index')


def refusal(prefix, names=NAMES, shapes=SHAPES):
    with pytest.raises(UserError) as caught:
        tf1_checkpoint.read(prefix, names, shapes)
    message = str(caught.value)
    assert '\n' not in message
    assert str(prefix) in message
    return message


def test_reads_back_every_bit(prefix, arrays):
    found = tf1_checkpoint.read(prefix, NAMES, SHAPES)
    for array, expected in zip(found, arrays, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected)


def test_reads_in_the_order_of_the_names(prefix, arrays):
    found = tf1_checkpoint.read(prefix, NAMES[::-1], SHAPES[::-1])
    np.testing.assert_array_equal(found[0], arrays[1])
    np.testing.assert_array_equal(found[1], arrays[0])


def test_tf1_saver_restores_variables_and_global_step(prefix, arrays):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [
            tf.compat.v1.Variable(tf.zeros(shape), name=name, use_resource=False)
            for name, shape in zip(NAMES, SHAPES, strict=True)
        ]
        step = tf.compat.v1.train.get_or_create_global_step()
        latest = tf.train.latest_checkpoint(str(prefix.parent))
        tf.compat.v1.train.Saver().restore(session, latest)
        values, found_step = session.run([variables, step])
    assert latest == str(prefix)
    assert found_step == 300
    for value, expected in zip(values, arrays, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_moved_folder_still_names_its_newest_checkpoint(prefix, tmp_path):
    moved = tmp_path.with_name(f'{tmp_path.name}_moved')
    tmp_path.rename(moved)
    assert tf.train.latest_checkpoint(str(moved)) == str(moved / prefix.name)


def test_writes_the_three_files_and_nothing_else(prefix):
    assert sorted(os.listdir(prefix.parent)) == [
        'checkpoint',
        'checkpoint-300.data-00000-of-00001',
        'checkpoint-300.index',
    ]


def test_writing_again_replaces(prefix, arrays):
    tf1_checkpoint.write(prefix, NAMES, [2 * array for array in arrays])
    found = tf1_checkpoint.read(prefix, NAMES, SHAPES)
    np.testing.assert_array_equal(found[0], 2 * arrays[0])
    assert len(os.listdir(prefix.parent)) == 3


def test_a_write_that_fails_leaves_no_checkpoint(tmp_path, arrays, monkeypatch):
    def full_disk(**_):
        raise tf.errors.ResourceExhaustedError(None, None, 'No space left on device')

    monkeypatch.setattr(tf.raw_ops, 'SaveV2', full_disk)
    with pytest.raises(UserError, match='cannot write .*No space left'):
        tf1_checkpoint.write(tmp_path / 'checkpoint-0', NAMES, arrays)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path, arrays):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(UserError, match='cannot write the checkpoint'):
        tf1_checkpoint.write(tmp_path / 'file' / 'checkpoint-0', NAMES, arrays)


def test_never_writes_into_the_folder_of_a_tf2_training(tmp_path, arrays):
    tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / 'checkpoint'))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match='found checkpoints of a TF2 training'):
        tf1_checkpoint.write(tmp_path / 'checkpoint-1', NAMES, arrays)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_as_many_arrays_as_names(tmp_path, arrays):
    with pytest.raises(ValueError):
        tf1_checkpoint.write(tmp_path / 'checkpoint-0', NAMES, arrays[:1])


def test_no_checkpoint(tmp_path):
    assert 'found no file' in refusal(tmp_path / 'checkpoint-7')


def test_missing_variable(prefix):
    message = refusal(prefix, ('Variable', 'Variable_9'))
    assert 'missing Variable_9' in message
    assert 'found Variable, Variable_1, global_step' in message


def test_wrong_shape(prefix):
    message = refusal(prefix, shapes=((3, 5), (4,)))
    assert "'Variable'" in message
    assert 'to be float32 [3, 5]; found float32 [3, 4]' in message


def test_wrong_dtype(prefix):
    message = refusal(prefix, ('Variable', 'global_step'), ((3, 4), ()))
    assert 'to be float32 []; found int64 []' in message


def test_not_finite(tmp_path, arrays):
    arrays[1][2] = np.nan
    tf1_checkpoint.write(tmp_path / 'checkpoint-0', NAMES, arrays)
    assert "finite numbers in the variable 'Variable_1'" in refusal(tmp_path / 'checkpoint-0')


def test_tf2_checkpoint(tmp_path):
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / 'checkpoint'))
    assert 'found one of tf.train.Checkpoint' in refusal(path)


@pytest.mark.parametrize('position', [0, 30, -30])
def test_changed_data(prefix, position):
    flip_a_bit(data_file(prefix), position)
    assert 'found damaged or missing files' in refusal(prefix)


@pytest.mark.parametrize('size', [0, 20])
def test_truncated_data(prefix, size):
    data_file(prefix).write_bytes(data_file(prefix).read_bytes()[:size])
    assert 'found damaged or missing files' in refusal(prefix)


def test_missing_data(prefix):
    data_file(prefix).unlink()
    assert 'checkpoint-300.data-00000-of-00001' in refusal(prefix)


@pytest.mark.parametrize('position', [0, 10, -1])
def test_changed_index(prefix, position):
    flip_a_bit(index_file(prefix), position)
    assert 'found damaged or missing files' in refusal(prefix)


@pytest.mark.parametrize('size', [0, 10, 100])
def test_truncated_index(prefix, size):
    index_file(prefix).write_bytes(index_file(prefix).read_bytes()[:size])
    assert 'found damaged or missing files' in refusal(prefix)


def test_a_long_list_of_variables_is_cut(tmp_path):
    names = [f'v{i:03}' for i in range(100)]
    tf1_checkpoint.write(tmp_path / 'checkpoint-0', names, [np.float32(0)] * 100)
    message = refusal(tmp_path / 'checkpoint-0', ['w'], [()])
    assert 'and 89 more' in message  # 100 and global_step, of which 12 are shown
    assert len(message) < 500


def test_links_are_written_through_and_read_only_files_stay(prefix, arrays, tmp_path):
    there = tmp_path / 'there'
    there.mkdir()
    for path in (data_file(prefix), index_file(prefix)):
        path.rename(there / path.name)
        path.symlink_to(there / path.name)
    tf1_checkpoint.write(prefix, NAMES, [2 * array for array in arrays], global_step=300)
    assert data_file(prefix).is_symlink() and index_file(prefix).is_symlink()
    np.testing.assert_array_equal(tf1_checkpoint.read(prefix, NAMES, SHAPES)[0], 2 * arrays[0])
    (there / data_file(prefix).name).chmod(0o444)
    with pytest.raises(UserError, match='read-only'):
        tf1_checkpoint.write(prefix, NAMES, arrays, global_step=300)
    np.testing.assert_array_equal(tf1_checkpoint.read(prefix, NAMES, SHAPES)[0], 2 * arrays[0])
