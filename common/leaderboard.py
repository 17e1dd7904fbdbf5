"""`--method=worst_case`: a cascade against one network, its records, and its worst examples."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from common.attack_table import AttackTable
from common.files import cannot_write, replacing, write_json
from common.rows import Row
from common.worst_case import Stage, records, table

_SAMPLE = 200  # images that the checks of honesty look at


def evaluate(
    attacks: AttackTable, stages: Sequence[Stage], folder: pathlib.Path, *,
    others: Sequence[str], output: str | None, shape: tuple[int, ...], json: str | None,
) -> Row:
    """Runs a cascade and the checks of its honesty, tells of both, and writes what was asked for.

    Args:
        attacks: knows the network, the images and the settings.
        stages: the cascade.
        folder: of what an interrupted cascade leaves; the same cascade goes on from there.
        others: references of networks whose examples are tried as well.
        output: .npy file for the worst example of each image; None for none.
        shape: of its array, which holds the images one after the other; -1 is worked out.
        json: file for the row and the records of all images; None for none.

    Raises:
        UserError: a file cannot be written.
    """
    partial = attacks.partial(folder, 'worst_case', tuple(stages), bool(output))
    worst = None
    if output:
        worst = WorstExamples(partial.path.with_suffix('.images'), attacks.examples.x)
        if worst.new:
            partial.remove()  # what it knows of has no images
    row, verdict = attacks.worst_case(stages, partial, worst.keep if worst else None)
    print(table(verdict), flush=True)
    found = []
    for check in attacks.checks(stages[0].attack, _SAMPLE, others):
        found.append(check)
        print(check, flush=True)
    if json:
        write_json(json, {'rows': [row.as_json()], **records(verdict),
                          'checks': [dataclasses.asdict(check) for check in found]})
    if worst:
        worst.write(output, shape)
    return row


class WorstExamples:
    """The worst images so far, on disk while a cascade looks for worse ones.

    Args:
        path: of the file that holds them, with those of an interrupted cascade if it is there.
        x: [n, ...] float32 natural images.

    Attributes:
        new: whether none were there.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: pathlib.Path, x: np.ndarray):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._images = _interrupted(path, x)
            self.new = self._images is None
            if self.new:
                self._images = np.lib.format.open_memmap(
                    path, mode='w+', dtype=x.dtype, shape=x.shape)
                self._images[:] = x
        except OSError as error:
            raise cannot_write(path, error) from error

    def keep(self, index: np.ndarray, x_adv: np.ndarray) -> None:
        """Takes [k, ...] images of these [k] numbers."""
        self._images[index] = x_adv

    def write(self, path: str | os.PathLike, shape: tuple[int, ...]) -> None:
        """Writes the images as an array of that shape.

        Raises:
            UserError: the file cannot be written.
        """
        with replacing(path) as temporary, open(temporary, 'wb') as file:
            np.save(file, np.asarray(self._images).reshape(shape))
        print(f'wrote {path}')


def _interrupted(path: pathlib.Path, x: np.ndarray) -> np.memmap | None:
    try:
        found = np.lib.format.open_memmap(path, mode='r+')
    except (FileNotFoundError, ValueError, EOFError):  # none, or damaged
        return None
    return found if (found.shape, found.dtype) == (x.shape, x.dtype) else None
