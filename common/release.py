"""Puts a trained network among the released ones, with the record of how it came to be."""

import csv
import json
import pathlib
import shutil
from typing import Any

from common.checkpoints import RELEASED, manifest
from common.errors import UserError
from common.files import replacing, sha256, write_json

_MAX_BYTES = 15_000_000  # a repository keeps every version of a large file for ever


def release(
    data_set: str, name: str, run: pathlib.Path, *, weights: str, record: dict[str, Any],
    released: pathlib.Path = RELEASED,
) -> None:
    """Copies weights and log of a training run and writes its entry of manifest.json.

    Args:
        data_set: key of the manifest.
        name: of the released network.
        run: model folder of the training.
        weights: which weights file of the folder.
        record: what the folder does not know: command, commit, machine and the like.
        released: folder of released weights.

    Raises:
        UserError: the run is incomplete or the weights are too large.
    """
    path = run / weights
    missing = [p.name for p in (path, run / 'config.json', run / 'log.csv') if not p.is_file()]
    if missing:
        raise UserError(f'expected {", ".join(missing)} in {run}; found none. Train there first.')
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(f'expected at most {_MAX_BYTES:,} bytes; {path} has '
                        f'{path.stat().st_size:,}. Release a smaller network.')
    file, log = f'{data_set}/{name}.weights.h5', f'{data_set}/{name}.log.csv'
    for source, copy in ((path, file), (run / 'log.csv', log)):
        with replacing(released / copy) as temporary:
            shutil.copyfile(source, temporary)
    config = json.loads((run / 'config.json').read_text())
    _update(released, data_set, name, {
        'file': file, 'log': log, 'sha256': sha256(path), **record, 'seed': config['seed'],
        'training_seconds': round(_training_seconds(run / 'log.csv', config['batch_size'])),
        'config': config, 'results': []})


def add_results(
    data_set: str, name: str, rows: list[dict[str, Any]], attack_dtype: str = 'float32',
    released: pathlib.Path = RELEASED,
) -> None:
    """Adds rows to a network's entry; a row measured again replaces the old one.

    Args:
        data_set: key of the manifest.
        name: of the released network.
        rows: as `common.report.write_rows` writes them.
        attack_dtype: precision in which their examples were crafted.
        released: folder of released weights.
    """
    entry = manifest(released)[data_set][name]
    kept = {_identity(row): row for row in entry['results']}
    kept.update({_identity(row): {**row, 'attack_dtype': attack_dtype} for row in rows})
    _update(released, data_set, name, {**entry, 'results': list(kept.values())})


def _identity(row: dict[str, Any]) -> tuple:
    return tuple(row[key] for key in ('method', 'steps', 'restarts', 'step_size', 'source',
                                      'epsilon'))


def _update(released: pathlib.Path, data_set: str, name: str, entry: dict[str, Any]) -> None:
    contents = manifest(released)
    contents.setdefault(data_set, {})[name] = entry
    write_json(released / 'manifest.json', contents)


def _training_seconds(log: pathlib.Path, batch_size: int) -> float:
    """Wall time of the steps, from the rates in the log; pauses between resumed runs left out."""
    seconds, last = 0.0, 0
    with open(log, newline='') as file:
        for row in csv.DictReader(file):
            rate = float(row['examples_per_second'] or 0)
            if rate:
                seconds += (int(row['step']) - last) * batch_size / rate
                last = int(row['step'])
    return seconds
