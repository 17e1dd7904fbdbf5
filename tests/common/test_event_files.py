"""Events of repeated steps go; everything else in event files stays."""

import pytest
import tensorflow as tf

from common.event_files import remove_events


def write(folder, *steps):
    """Writes an event file and returns its path."""
    before = set(folder.glob('*'))
    writer = tf.summary.create_file_writer(str(folder))
    for step in steps:
        with writer.as_default(step=step):
            tf.summary.scalar('loss', float(step))
    writer.close()
    (path,) = set(folder.glob('*')) - before
    return path


def steps(path):
    return [
        event.step
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for _ in event.summary.value
    ]


def test_events_of_some_steps_are_removed(tmp_path):
    first, second, third = write(tmp_path, 0, 3, 6), write(tmp_path, 4, 5), write(tmp_path, 1, 2)
    untouched = third.stat()
    remove_events(tmp_path, lambda step: step >= 4)
    assert steps(first) == [0, 3] and not second.exists()
    assert third.stat().st_ino == untouched.st_ino and steps(third) == [1, 2]
    # A reader knows the file's version by its first event.
    assert next(tf.compat.v1.train.summary_iterator(str(first))).file_version == 'brain.Event:2'


@pytest.mark.parametrize('cut', [1, 10, 30])
def test_what_was_written_by_half_is_removed(tmp_path, cut):
    path = write(tmp_path, 0, 3, 6)
    path.write_bytes(path.read_bytes()[:-cut])
    remove_events(tmp_path, lambda step: False)
    assert steps(path) == [0, 3]  # without an error


def test_other_runs_below_and_other_files_stay(tmp_path):
    (tmp_path / 'eval').mkdir()
    below, other = write(tmp_path / 'eval', 7), tmp_path / 'notes.txt'
    other.write_text('mine')
    remove_events(tmp_path, lambda step: True)
    assert steps(below) == [7] and other.read_text() == 'mine'


def test_tensorboard_reads_what_is_left(tmp_path):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator', reason='needs TensorBoard'
    )
    write(tmp_path, 0, 3, 6)
    remove_events(tmp_path, lambda step: step >= 4)
    write(tmp_path, 4, 5)
    reader = accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    assert [event.step for event in reader.Tensors('loss')] == [0, 3, 4, 5]
