"""TensorBoard's event files of a folder, from which the events of repeated steps are removed.

A run that was killed goes on from its last checkpoint and repeats the steps after it. Readers would
see those steps twice: TensorBoard forgets the first time at best while it is running, and programs
that read event files never do.
"""

import os
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from common.files import replacing

_PATTERN = 'events.out.tfevents.*'


def remove_events(folder: str | os.PathLike, repeated: Callable[[int], bool]) -> None:
    """Removes the events of some steps, and what an interrupted write left half-written.

    Files without such events stay as they are; those without any other events are removed. Nobody
    else may be writing to the folder's event files.

    Args:
        folder: the folder; its subfolders are other runs.
        repeated: says whether events of this step go.

    Raises:
        UserError: a file cannot be written.
        OSError: a file cannot be read.
    """
    for path in sorted(pathlib.Path(folder).glob(_PATTERN)):
        found = list(_records(path))
        kept = [record for record in found if not _goes(record, repeated)]
        if not any(tf.compat.v1.Event.FromString(record).HasField('summary') for record in kept):
            path.unlink()
        elif _size(kept) != path.stat().st_size:
            with replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in kept:
                    writer.write(record)


def _records(path: pathlib.Path) -> Iterator[bytes]:
    """The whole records of a file."""
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError:  # where the writer was killed
        return


def _goes(record: bytes, repeated: Callable[[int], bool]) -> bool:
    event = tf.compat.v1.Event.FromString(record)
    return event.HasField('summary') and repeated(event.step)


def _size(records: list[bytes]) -> int:
    """The bytes of a file of these records, each with its length and two checksums."""
    return sum(len(record) + 16 for record in records)
