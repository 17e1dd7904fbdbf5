"""Networks on disk: released weights with their manifest, model folders, weights files.

A network is named by a reference: a released name, a model folder, a weights file, or the prefix of
a checkpoint (of this project's training, or of a TF1 `Saver`).
"""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import keras
import tensorflow as tf

from common import tf1_checkpoint
from common.errors import UserError, reason
from common.files import sha256
from common.weights import averaged_variables

RELEASED = pathlib.Path(__file__).resolve().parent.parent / 'checkpoints'
"""The folder of released weights: beside this package, in a checkout as in a wheel."""

READ_ERRORS = (
    AssertionError, tf.errors.OpError, OSError, IndexError, RuntimeError, ValueError)
"""What restoring raises for a damaged checkpoint, depending on the place of the damage."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """All that has to be known of a data set's networks in order to load one.

    Attributes:
        data_set: key of the manifest.
        build: contents of a run's config.json -> a network with fresh weights.
        configs: what to try, in this order, for weights that come without a config.json.
        import_tf1: copies the weights of the TF1 checkpoint with that prefix into a network.
        released: folder of released weights and manifest.json.
    """

    data_set: str
    build: Callable[[dict[str, Any]], keras.Model]
    configs: Sequence[dict[str, Any]]
    import_tf1: Callable[[keras.Model, str], None]
    released: pathlib.Path = RELEASED

    def load(self, reference: str) -> keras.Model:
        """The network that `reference` names, with its weights.

        Raises:
            UserError: there is no such network, or its files are damaged.
        """
        entries = manifest(self.released).get(self.data_set, {})
        if reference in entries:
            return self._load_released(entries[reference])
        folder = self.folder(reference)
        if folder is not None:
            return self._load_folder(folder)
        if os.path.isfile(reference):
            return self._load_file(pathlib.Path(reference))
        if tf1_checkpoint.is_prefix(reference):
            return self._load_checkpoint(pathlib.Path(reference))
        names = ', '.join(entries) or 'none yet'
        raise UserError(
            f'there is no network {reference!r}: expected a released name ({names}), a model '
            'folder, a weights file (*.weights.h5) or the prefix of a checkpoint.')

    def folder(self, reference: str) -> pathlib.Path | None:
        """The folder that `reference` names; None for anything else, released names before all."""
        if reference in manifest(self.released).get(self.data_set, {}):
            return None
        # Unlike pathlib's, these answer False to a name that is too long.
        return pathlib.Path(reference) if os.path.isdir(reference) else None

    def _load_released(self, entry: dict[str, Any]) -> keras.Model:
        path = self.released / entry['file']
        remedy = 'Restore the file (git checkout, or install the package again).'
        if not path.is_file():
            raise UserError(f'the released weights {path} are missing. {remedy}')
        found = sha256(path)
        if found != entry['sha256']:
            raise UserError(
                f'the released weights {path} are damaged: expected SHA-256 {entry["sha256"]}, '
                f'found {found}. {remedy}')
        network = self._build(entry['config'], self.released / 'manifest.json')
        load_weights(network, path)
        return network

    def _load_folder(self, folder: pathlib.Path) -> keras.Model:
        for name in ('last.weights.h5', 'best.weights.h5'):
            if (folder / name).is_file():
                return self._load_file(folder / name)
        prefix = tf1_checkpoint.latest_in(folder)
        if prefix is None:
            raise UserError(
                f'expected last.weights.h5, best.weights.h5 or checkpoint-<step> in {folder}; '
                'found none of them. Train there first, or name another folder.')
        return self._load_checkpoint(pathlib.Path(prefix))

    def _load_file(self, path: pathlib.Path) -> keras.Model:
        return self._first_that_fits(path.parent, lambda network: load_weights(network, path))

    def _load_checkpoint(self, prefix: pathlib.Path) -> keras.Model:
        read = restore_weights if is_training_checkpoint(str(prefix)) else self.import_tf1
        return self._first_that_fits(prefix.parent, lambda network: read(network, str(prefix)))

    def _first_that_fits(
        self, folder: pathlib.Path, read: Callable[[keras.Model], None]
    ) -> keras.Model:
        errors = []
        for config in self._configs(folder):
            network = self._build(config, folder / 'config.json')
            try:
                read(network)
                return network
            except (UserError, ValueError) as error:
                errors.append(error)
        raise errors[0]

    def _build(self, config: dict[str, Any], source: pathlib.Path) -> keras.Model:
        try:
            return self.build(config)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f'{source} describes no network: {reason(error)}. Restore it, or train '
                            'again.') from error

    def _configs(self, folder: pathlib.Path) -> Sequence[dict[str, Any]]:
        path = folder / 'config.json'
        if not path.is_file():
            return self.configs
        try:
            stored = dict(json.loads(path.read_text()))
            if 'network' in stored:
                return [{**self.configs[0], **stored}]
            # The challenge's config.json, beside its own checkpoints, knows nothing of networks.
            return [{**config, **stored} for config in self.configs]
        except (OSError, TypeError, ValueError) as error:
            raise UserError(f'{path} is no JSON object ({error}). Restore it, or remove it if the '
                            'network has the default widths.') from error


def manifest(folder: pathlib.Path = RELEASED) -> dict[str, Any]:
    """Contents of manifest.json: data set -> name -> file, sha256, config, results and more."""
    path = folder / 'manifest.json'
    if not path.is_file():
        return {}
    remedy = 'Restore it (git checkout, or install the package again).'
    try:
        contents = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f'{path} is not JSON ({error}). {remedy}') from error
    try:
        for entries in contents.values():
            for entry in entries.values():
                _ = entry['file'], entry['sha256'], dict(entry['config'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'{path} does not describe networks ({reason(error)}). {remedy}') from error
    return contents


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Reads a Keras weights file into `model`.

    Raises:
        UserError: the file is none by its name, is damaged (its digest is named) or belongs to
            another network.
    """
    if not path.name.endswith('.weights.h5'):
        raise UserError(
            f'expected a weights file (*.weights.h5); found {path}. Whole models may be other '
            'networks with the same weights: attack them as examples/own_model.py does.')
    try:
        # Keras warns of every layer that does not fit and then fails, which says it all.
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for damaged files
        raise UserError(
            f'the weights file {path} (SHA-256 {sha256(path)}) cannot be read into {model.name}: '
            f'{reason(error)}. It is damaged or belongs to another network: fetch or train it '
            'again.') from error
    # Keras leaves out what the network has no layer for.
    found, expected = _arrays_in(path), len(model.weights)
    if found != expected:
        raise UserError(f'expected {expected} arrays, those of {model.name}, in the weights file '
                        f'{path}; found {found}. It belongs to another network.')


def _arrays_in(path: pathlib.Path) -> int:
    """How many weights a file has; states of random generators are none."""
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: (
            names.append(name) if isinstance(item, h5py.Dataset) else None))
    return sum('seed_generator' not in name for name in names)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights.

    Raises:
        UserError: the two networks do not have the same shapes.
    """
    found = [tuple(v.shape) for v in source.weights]
    expected = [tuple(v.shape) for v in target.weights]
    if found != expected:
        pairs = itertools.zip_longest(found, expected)
        first = next((a, b) for a, b in pairs if a != b)
        raise UserError(
            f'--init_from: expected weights of {target.name}, found those of {source.name} (the '
            f'first shape that differs: {first[0]} there, {first[1]} here). Choose weights of the '
            'same architecture and widths, or the widths of these weights.')
    target.set_weights(source.get_weights())


def is_whole(prefix: str) -> bool:
    """Whether every variable of a checkpoint can be read."""
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        return True
    except READ_ERRORS:
        return False


def has_begun(model_dir: str | os.PathLike) -> bool:
    """Whether a training has left a whole checkpoint there, from which it would go on."""
    newest = tf1_checkpoint.latest_in(model_dir)
    return newest is not None and is_whole(newest)


def is_training_checkpoint(prefix: str) -> bool:
    """Whether a checkpoint is one of this project's training, not of a TF1 `Saver`."""
    return '_CHECKPOINTABLE_OBJECT_GRAPH' in _variables(prefix)


def restore_weights(model: keras.Model, prefix: str) -> None:
    """Reads the weights of a training checkpoint, their average where one was kept.

    Raises:
        UserError: the checkpoint is damaged or of another network.
    """
    averaged = any(name.startswith('average/') for name in _variables(prefix))
    average = [tf.Variable(v) for v in averaged_variables(model)] if averaged else []
    try:
        status = tf.train.Checkpoint(model=model, average=average).restore(prefix)
        status.expect_partial().assert_existing_objects_matched()
    except READ_ERRORS as error:
        raise _damaged(prefix, error) from error
    for variable, value in zip(averaged_variables(model), average, strict=False):
        variable.assign(value)


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of all weights: what identifies a network whatever file it came from."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def _variables(prefix: str) -> set[str]:
    try:
        return set(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    except READ_ERRORS as error:
        raise _damaged(prefix, error) from error


def _damaged(prefix: str, error: Exception) -> UserError:
    return UserError(
        f'the checkpoint {prefix} is damaged or belongs to another network: {reason(error)}. Use '
        'another checkpoint of the folder, or train again.')
