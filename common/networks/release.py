"""Puts a trained network among the released ones, with the record of how it came to be."""

import csv
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.errors import UserError, reason
from common.files import replacing, sha256, write_json
from common.networks.registry import RELEASED, Origin, manifest

_MAX_BYTES = 15_000_000  # a repository keeps every version of a large file for ever


def put(
    data_set: str,
    sources: Mapping[str, Origin],
    load: Callable[[str], Any],
    *,
    name: str,
    runs: Sequence[str],
    weights: str,
    commit: str | None,
    machine: str | None,
    notes: str,
    results: Sequence[str],
    attack_dtype: str,
    released: pathlib.Path = RELEASED,
) -> None:
    """What `mnist.release` and `cifar10.release` do; arguments after the first three are flags.

    Args:
        data_set: 'mnist' or 'cifar10'.
        sources: name -> how the network came to be.
        load: a weights file -> the network, or a UserError.
        name: of the network.
        runs: model folders of its training's stages; none to add results only.
        weights: which weights file of the last one.
        commit: it was trained with.
        machine: it was trained on.
        notes: what else a reader should know.
        results: files written by `eval_attack --json`, to add to its entry.
        attack_dtype: precision in which their examples were crafted.
        released: folder of released weights.

    Raises:
        UserError: flags that do not go together, and what `release` and `add_results` refuse.
    """
    source = sources[name]
    if not (runs or results):
        raise UserError('expected --runs or --results; found neither, so there is nothing to do.')
    if runs:
        if not (commit and machine):
            raise UserError('expected --commit and --machine with --runs; found one of them empty.')
        if len(runs) != len(source.stages):
            raise UserError(
                f'expected --runs to name {len(source.stages)} folders, one for each '
                f'stage of {name}; found {len(runs)}.'
            )
    rows = [read_rows(path) for path in results]  # before anything is written
    if runs:
        load(str(pathlib.Path(runs[-1], weights)))
        release(
            data_set,
            name,
            [pathlib.Path(run) for run in runs],
            weights=weights,
            record={
                'description': source.description,
                'command': ' && '.join(source.commands(data_set)),
                'commit': commit,
                'machine': machine,
                'notes': notes,
            },
            released=released,
        )
    for of_file in rows:
        add_results(data_set, name, of_file, attack_dtype, released)


def release(
    data_set: str,
    name: str,
    runs: Sequence[pathlib.Path],
    *,
    weights: str,
    record: dict[str, Any],
    released: pathlib.Path = RELEASED,
) -> None:
    """Copies weights and logs of a training and writes its entry of manifest.json.

    Args:
        data_set: key of the manifest.
        name: of the released network.
        runs: model folders of the training's stages; the last one holds the weights.
        weights: which weights file of that folder.
        record: what the folders do not know: command, commit, machine and the like.
        released: folder of released weights.

    Raises:
        UserError: a run is incomplete, damaged or of drawn images, or the weights are too large.
    """
    path = runs[-1] / weights
    _require_files([path, *(run / f for run in runs for f in ('config.json', 'log.csv'))])
    # Everything is read before anything is written: a release is replaced whole or not at all.
    configs = [_read_config(run / 'config.json') for run in runs]
    seconds = sum(
        _training_seconds(run / 'log.csv', config)
        for run, config in zip(runs, configs, strict=True)
    )
    if path.stat().st_size > _MAX_BYTES:
        raise UserError(
            f'expected at most {_MAX_BYTES:,} bytes; {path} has '
            f'{path.stat().st_size:,}. Release a smaller network.'
        )
    file = f'{data_set}/{name}.weights.h5'
    _copy(path, released / file)
    logs = []
    for stage, run in enumerate(runs, 1):
        logs.append(f'{data_set}/{name}.{"" if len(runs) == 1 else f"stage{stage}."}log.csv')
        _copy(run / 'log.csv', released / logs[-1])
    config = configs[-1]
    if len(runs) > 1:
        # Where the stage before lay says nothing to others; the recorded command has this name.
        config['init_from'] = f'models/stage{len(runs) - 1}'
    _update(
        released,
        data_set,
        name,
        {
            'file': file,
            'logs': logs,
            'sha256': sha256(path),
            **record,
            'seed': config['seed'],
            'training_seconds': round(seconds),
            'config': config,
            'results': [],
        },
    )


def _require_files(paths: list[pathlib.Path]) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UserError(f'expected {", ".join(missing)}; found none. Train there first.')


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        dataset, _, _ = config['dataset'], config['seed'], float(config['batch_size'])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'expected the config.json of a training at {path}; found {reason(error)}. '
            'Release another run.'
        ) from error
    if dataset == 'drawn':
        raise UserError(
            f'expected a training on real images in {path.parent}; found one on drawn '
            'ones, which tells nothing. Release another run.'
        )
    return config


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def add_results(
    data_set: str,
    name: str,
    rows: list[dict[str, Any]],
    attack_dtype: str = 'float32',
    released: pathlib.Path = RELEASED,
) -> None:
    """Adds the rows that judge a network to its entry; one measured again replaces the old one.

    Args:
        data_set: key of the manifest.
        name: of the released network.
        rows: as `common.evaluation.rows.write_rows` writes them.
        attack_dtype: precision in which their examples were crafted.
        released: folder of released weights.

    Raises:
        UserError: there is no such network, or no row of it, or one of fewer images than the row
            that it would replace.
    """
    rows = [row for row in rows if row['target'] == name]  # a table may have others beside it
    if not rows:
        raise UserError(
            f'expected results of {name}; found none. Evaluate it with --target={name}.'
        )
    entry = manifest(released).get(data_set, {}).get(name)
    if entry is None:
        raise UserError(
            f'expected a released network; found none named {name!r}. Release it with '
            'its run first.'
        )
    kept = {_identity(row): row for row in entry['results']}
    for row in rows:
        before = kept.get(_identity(row), row)
        if row['n'] < before['n']:
            raise UserError(
                f'expected at least the {before["n"]:,} images of the result that is there; found '
                f'{row["n"]:,} ({row["method"]} from {row["source"]}). Evaluate it on all images.'
            )
    kept.update({_identity(row): {**row, 'attack_dtype': attack_dtype} for row in rows})
    _update(released, data_set, name, {**entry, 'results': list(kept.values())})


def read_rows(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The rows of a file that `common.evaluation.rows.write_rows` wrote.

    Raises:
        UserError: it is missing or another file.
    """
    try:
        rows = json.loads(pathlib.Path(path).read_text())['rows']
        for row in rows:
            _identity(row), row['target'], row['accuracy'], row['n']
        return list(rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'expected rows written by eval_attack --json in {path}; found {reason(error)}.'
        ) from error


def _identity(row: dict[str, Any]) -> tuple:
    keys = ('method', 'steps', 'restarts', 'step_size', 'source', 'epsilon')
    # A cascade of another preset is another attack.
    return *(row[key] for key in keys), row.get('preset')


def _update(released: pathlib.Path, data_set: str, name: str, entry: dict[str, Any]) -> None:
    contents = manifest(released)
    contents.setdefault(data_set, {})[name] = entry
    write_json(released / 'manifest.json', contents)


def _training_seconds(log: pathlib.Path, config: dict[str, Any]) -> float:
    """Wall time of the steps, from the rates in the log; pauses between resumed runs left out."""
    seconds, last = 0.0, 0
    try:
        with open(log, newline='') as file:
            for row in csv.DictReader(file):
                rate = float(row['examples_per_second'] or 0)
                if rate:
                    seconds += (int(row['step']) - last) * config['batch_size'] / rate
                    last = int(row['step'])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'expected the log of a training at {log}; found {reason(error)}. Release another run.'
        ) from error
    return seconds
