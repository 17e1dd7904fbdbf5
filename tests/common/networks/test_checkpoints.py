"""Which checkpoint is the newest, whether it is whole, and what wrote it."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.networks import checkpoints, tf1_checkpoint


@pytest.fixture
def of_training(tmp_path):
    """Prefix of a checkpoint as training writes them."""
    checkpoint = tf.train.Checkpoint(step=tf.Variable(300), weight=tf.Variable(tf.ones(50)))
    return checkpoint.write(str(tmp_path / 'model' / 'checkpoint-300'))


@pytest.fixture
def of_tf1(tmp_path):
    prefix = tmp_path / 'tf1' / 'checkpoint-24900'
    tf1_checkpoint.write(prefix, ['Variable'], [np.ones(50)])
    return str(prefix)


def test_a_prefix_is_neither_a_file_nor_a_folder(of_training):
    prefix = pathlib.Path(of_training)
    assert checkpoints.is_prefix(prefix) and checkpoints.is_prefix(of_training)
    assert not checkpoints.is_prefix(f'{prefix}.index')
    assert not checkpoints.is_prefix(prefix.parent)


def test_checkpoints_of_training_are_told_from_those_of_tf1(of_training, of_tf1):
    assert checkpoints.is_of_training(of_training)
    assert not checkpoints.is_of_training(of_tf1)
    assert checkpoints.variables(of_tf1) == {'Variable', 'global_step'}
    with pytest.raises(UserError, match='the checkpoint nothing is damaged'):
        checkpoints.is_of_training('nothing')


@pytest.mark.parametrize('suffix', ['.index', '.data-00000-of-00001'])
@pytest.mark.parametrize('share', [None, 0, 0.5, 0.9])
def test_a_training_has_begun_where_its_newest_checkpoint_is_whole(of_training, suffix, share):
    folder, path = pathlib.Path(of_training).parent, pathlib.Path(f'{of_training}{suffix}')
    assert checkpoints.is_whole(of_training) and checkpoints.has_begun(folder)
    contents = path.read_bytes()
    path.unlink()
    if share is not None:
        path.write_bytes(contents[: int(share * len(contents))])
    assert not checkpoints.is_whole(of_training) and not checkpoints.has_begun(folder)


def test_no_training_has_begun_in_an_empty_folder(tmp_path):
    assert not checkpoints.has_begun(tmp_path)
    assert not checkpoints.has_begun(tmp_path / 'absent')


def test_latest_compares_steps_as_numbers(tmp_path):
    for name in ('checkpoint-900', 'checkpoint-24900', 'checkpoint-best', 'other-99999'):
        (tmp_path / f'{name}.index').touch()
    (tmp_path / 'checkpoint-30000.data-00000-of-00001').touch()
    assert checkpoints.latest_in(tmp_path) == str(tmp_path / 'checkpoint-24900')


def test_latest_of_nothing_is_none(tmp_path):
    assert checkpoints.latest_in(tmp_path) is None
    assert checkpoints.latest_in(tmp_path / 'absent') is None


@pytest.mark.parametrize('name', ['eps[0.3]', 'a\\b'])
def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused_as_such(tmp_path, name):
    prefix = tf.train.Checkpoint(step=tf.Variable(3)).write(str(tmp_path / name / 'checkpoint-3'))
    for call in (checkpoints.require_literal, checkpoints.is_of_training):
        with pytest.raises(UserError, match='brackets .* rename the folder'):
            call(prefix)
    with pytest.raises(UserError, match='brackets'):
        tf1_checkpoint.read(prefix, [], [])
    with pytest.raises(UserError, match='brackets'):
        tf1_checkpoint.write(prefix, [], [])


@pytest.mark.parametrize('name', ['a b', 'eps{0.3}', 'x*', 'what?', "it's", 'a[b'])
def test_other_paths_work(tmp_path, name):
    prefix = tf.train.Checkpoint(step=tf.Variable(3)).write(str(tmp_path / name / 'checkpoint-3'))
    checkpoints.require_literal(prefix)
    assert checkpoints.is_whole(prefix) and checkpoints.is_of_training(prefix)


def with_steps(folder, *steps):
    for step in steps:
        (folder / f'checkpoint-{step}.index').touch()


@pytest.mark.parametrize(
    'named',
    ['checkpoint-10', '/home/author/models/a/checkpoint-10', 'C:\\\\models\\\\checkpoint-10'],
)
def test_the_file_checkpoint_chooses_wherever_it_was_written(tmp_path, named):
    with_steps(tmp_path, 5, 10, 20)
    assert checkpoints.chosen_in(tmp_path) == str(tmp_path / 'checkpoint-20')
    (tmp_path / 'checkpoint').write_text(f'model_checkpoint_path: "{named}"\n')
    assert checkpoints.chosen_in(tmp_path) == str(tmp_path / 'checkpoint-10')
    assert checkpoints.latest_in(tmp_path) == str(tmp_path / 'checkpoint-20')


def test_nothing_to_choose_from_is_none(tmp_path):
    assert checkpoints.chosen_in(tmp_path) is None
    assert checkpoints.chosen_in(tmp_path / 'absent') is None


def test_a_chosen_checkpoint_that_is_missing_is_told(tmp_path):
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/there/checkpoint-30"\n')
    with pytest.raises(UserError, match='checkpoint-30 .* found no checkpoint in that folder'):
        checkpoints.chosen_in(tmp_path)
    with_steps(tmp_path, 5, 100, 20)
    with pytest.raises(UserError, match='found checkpoint-5, checkpoint-20, checkpoint-100 in'):
        checkpoints.chosen_in(tmp_path)


@pytest.mark.parametrize('contents', [b'', b'not a list', b'\xff\xfe', b'all_model: 3'])
def test_a_file_checkpoint_that_chooses_nothing_is_told(tmp_path, contents):
    with_steps(tmp_path, 5)
    (tmp_path / 'checkpoint').write_bytes(contents)
    with pytest.raises(UserError, match='expected a list of checkpoints in .* Remove that file'):
        checkpoints.chosen_in(tmp_path)
