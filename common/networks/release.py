"""Adds a trained network to the released ones, with a record of how it was trained."""

import csv
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

from common.errors import UserError, reason
from common.files import replacing, sha256, write_json
from common.networks.registry import Networks, manifest

_MAX_BYTES = 15_000_000  # a repository keeps every version of a large file forever


def put(
    networks: Networks,
    name: str,
    *,
    runs: Sequence[str],
    weights: str,
    commit: str | None,
    machine: str | None,
    notes: str,
    results: Sequence[str],
    attack_dtype: str,
) -> None:
    """Releases a training, adds results to an entry, or both: the release programs' work.

    Args:
        networks: of the data set.
        name: of the network, one of `networks.origins`.
        runs: model folders of its training's stages; none to add results only.
        weights: which weights file of the last one.
        commit: it was trained with.
        machine: it was trained on.
        notes: what else a reader should know.
        results: files written by `eval_attack --json`, to add to its entry.
        attack_dtype: precision in which their examples were crafted.

    Raises:
        UserError: arguments that do not go together, weights that cannot be loaded, and what
            `release` and `add_results` refuse.
    """
    origin = networks.origins[name]
    if not (runs or results):
        raise UserError('expected --runs or --results; found neither, so there is nothing to do.')
    if runs:
        if not (commit and machine):
            raise UserError('expected --commit and --machine with --runs; found one of them empty.')
        if len(runs) != len(origin.stages):
            raise UserError(
                f'expected --runs to name {len(origin.stages)} folders, one for each '
                f'stage of {name}; found {len(runs)}.'
            )
    rows = [read_rows(path) for path in results]  # before anything is written
    if runs:
        networks.load(str(pathlib.Path(runs[-1], weights)))
        record = {
            'description': origin.description,
            'command': ' && '.join(origin.commands(networks.data_set)),
            'commit': commit,
            'machine': machine,
            'notes': notes,
        }
        release(networks, name, [pathlib.Path(run) for run in runs], weights, record)
    for of_file in rows:
        add_results(networks, name, of_file, attack_dtype)


def release(
    networks: Networks,
    name: str,
    runs: Sequence[pathlib.Path],
    weights: str,
    record: dict[str, Any],
) -> None:
    """Copies weights and logs of a training and writes its entry of manifest.json.

    Args:
        networks: of the data set.
        name: of the released network.
        runs: model folders of the training's stages; the last one holds the weights.
        weights: which weights file of that folder.
        record: what the folders do not say: command, commit, machine and the like.

    Raises:
        UserError: a run is incomplete, damaged or of drawn images, or the weights are too large.
    """
    data_set, released = networks.data_set, networks.released
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
        # Where the stage before was stored means nothing to others; the recorded command has this.
        config['init_from'] = f'models/stage{len(runs) - 1}'
    _update(
        networks,
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
            'ones, which shows nothing. Release another run.'
        )
    return config


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def add_results(
    networks: Networks, name: str, rows: list[dict[str, Any]], attack_dtype: str = 'float32'
) -> None:
    """Adds the rows of a network to its entry; one that was measured again replaces the old one.

    Args:
        networks: of the data set.
        name: of the released network.
        rows: as `common.evaluation.rows.write_rows` writes them.
        attack_dtype: precision in which their examples were crafted.

    Raises:
        UserError: there is no such network or no row of it, or a row has fewer images than the one
            that it would replace.
    """
    rows = [row for row in rows if row['target'] == name]  # a table may have others beside it
    if not rows:
        raise UserError(
            f'expected results of {name}; found none. Evaluate it with --target={name}.'
        )
    entry = networks.manifest().get(name)
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
    _update(networks, name, {**entry, 'results': list(kept.values())})


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


def _update(networks: Networks, name: str, entry: dict[str, Any]) -> None:
    contents = manifest(networks.released)
    contents.setdefault(networks.data_set, {})[name] = entry
    write_json(networks.released / 'manifest.json', contents)


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
