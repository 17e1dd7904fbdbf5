"""A data set's networks by reference, and the manifest of the released ones.

A reference is a released name, a model folder, a weights file, or the prefix of a checkpoint (of
this project's training, or of a TF1 `Saver`).
"""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from common.errors import UserError, reason
from common.files import sha256
from common.networks import checkpoints
from common.networks.weights import load_weights, restore_weights

RELEASED = pathlib.Path(__file__).resolve().parents[2] / 'checkpoints'
"""The folder of released weights: beside this package, in a checkout as in a wheel."""

_RESTORE = '(git checkout, or install the package again).'


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a released network is, and how it was trained.

    Attributes:
        description: in words.
        stages: flags of the data set's training program, a run each; every run except the first
            starts from the weights of the one before (--init_from).
        stands_for: the paper's network that it is compared with; None for its namesake.
        purpose: what it is released for, in one sentence.
    """

    description: str
    stages: tuple[tuple[str, ...], ...]
    stands_for: str | None = None
    purpose: str = ''

    def commands(self, data_set: str) -> list[str]:
        """The commands that train it, ready to type.

        Args:
            data_set: the package of the training program.

        Returns:
            One command for each stage; of several, with folders models/stage1, models/stage2.
        """
        commands = []
        for number, stage in enumerate(self.stages, 1):
            start = (f'--init_from=models/stage{number - 1}',) if number > 1 else ()
            folder = (f'--model_dir=models/stage{number}',) if len(self.stages) > 1 else ()
            commands.append(' '.join((f'python -m {data_set}.train', *stage, *start, *folder)))
        return commands


@dataclasses.dataclass(frozen=True)
class Networks:
    """Everything that is needed to load the networks of a data set.

    Attributes:
        data_set: key of the manifest.
        build: contents of a run's config.json -> a network with fresh weights.
        configs: what to try, in this order, for weights that come without a config.json.
        import_tf1: copies the weights of the TF1 checkpoint with that prefix into a network; None
            for data sets without such checkpoints.
        origins: name -> what the released network is; the first is the `default`.
        released: folder of released weights and manifest.json.
    """

    data_set: str
    build: Callable[[dict[str, Any]], keras.Model]
    configs: Sequence[dict[str, Any]]
    import_tf1: Callable[[keras.Model, str], None] | None = None
    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)
    released: pathlib.Path = RELEASED

    @property
    def default(self) -> str | None:
        """Name of the network that programs use by default: the first released one, if any."""
        return next(iter(self.origins), None)

    def stands_for(self, reference: str) -> str:
        """The paper's network to compare one with; a user's own is compared like the default."""
        if reference in self.origins:
            return self.origins[reference].stands_for or reference
        return self.default or reference

    def manifest(self) -> dict[str, dict[str, Any]]:
        """The manifest's entries of this data set: name -> file, sha256, config, results and more.

        Raises:
            UserError: the manifest is damaged.
        """
        return manifest(self.released).get(self.data_set, {})

    def load(self, reference: str) -> keras.Model:
        """The network that `reference` names, with its weights.

        Raises:
            UserError: there is no such network, or its files are damaged.
        """
        entries = self.manifest()
        if reference in entries:
            return self._load_released(entries[reference])
        path = os.path.expanduser(reference)
        # Unlike pathlib's, these answer False to a name that is too long.
        if os.path.isdir(path):
            return self._load_folder(pathlib.Path(path))
        if os.path.isfile(path):
            return self._load_file(pathlib.Path(path))
        if checkpoints.is_prefix(path):
            return self._load_checkpoint(path)
        names = ', '.join(entries) or 'none yet'
        raise UserError(
            f'there is no network {reference!r}: expected a released name ({names}), a model '
            'folder, a weights file (*.weights.h5) or the prefix of a checkpoint.'
        )

    def folder(self, reference: str) -> pathlib.Path | None:
        """The folder that `reference` names; None for anything else, such as a released name.

        Raises:
            UserError: the manifest is damaged.
        """
        path = os.path.expanduser(reference)
        named = reference not in self.manifest() and os.path.isdir(path)
        return pathlib.Path(path) if named else None

    def _load_released(self, entry: dict[str, Any]) -> keras.Model:
        path = self.released / entry['file']
        if not path.is_file():
            raise UserError(f'the released weights {path} are missing. Restore the file {_RESTORE}')
        found = sha256(path)
        if found != entry['sha256']:
            raise UserError(
                f'the released weights {path} are damaged: expected SHA-256 {entry["sha256"]}, '
                f'found {found}. Restore the file {_RESTORE}'
            )
        network = self._build(entry['config'], self.released / 'manifest.json')
        load_weights(network, path)
        return network

    def _load_folder(self, folder: pathlib.Path) -> keras.Model:
        if (folder / 'last.weights.h5').is_file():
            return self._load_file(folder / 'last.weights.h5')
        if (folder / 'best.weights.h5').is_file():
            _say_chosen(folder, 'best.weights.h5')
            return self._load_file(folder / 'best.weights.h5')
        prefix = checkpoints.chosen_in(folder)
        if prefix is None:
            raise UserError(
                f'expected last.weights.h5, best.weights.h5 or checkpoint-<step> in {folder}; '
                'found none of them. Train there first, or name another folder.'
            )
        _say_chosen(folder, pathlib.Path(prefix).name)
        return self._load_checkpoint(prefix)

    def _load_file(self, path: pathlib.Path) -> keras.Model:
        return self._first_that_fits(path.parent, lambda network: load_weights(network, path))

    def _load_checkpoint(self, prefix: str) -> keras.Model:
        read = restore_weights if checkpoints.is_of_training(prefix) else self.import_tf1
        if read is None:
            raise UserError(
                f'expected a checkpoint of a training at {prefix}; found one of a TF1 Saver, which '
                'the networks of this data set are not imported from. Name another network.'
            )
        folder = pathlib.Path(prefix).parent
        return self._first_that_fits(folder, lambda network: read(network, prefix))

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
            raise UserError(
                f'{source} describes no network: {reason(error)}. Restore it, or train again.'
            ) from error

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
            raise UserError(
                f'{path} is no JSON object ({error}). Restore it, or remove it if the '
                'network has the default widths.'
            ) from error


def _say_chosen(folder: pathlib.Path, name: str) -> None:
    """Tells a reader which of a folder's networks is used where it is not the last weights."""
    print(f'note: {folder}: loading {name}', file=sys.stderr)


def manifest(folder: pathlib.Path = RELEASED) -> dict[str, dict[str, dict[str, Any]]]:
    """Contents of manifest.json: data set -> name -> file, sha256, config, results and more.

    Raises:
        UserError: the file is damaged; without one there are no networks.
    """
    path = folder / 'manifest.json'
    if not path.is_file():
        return {}
    try:
        contents = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f'{path} is not JSON ({error}). Restore it {_RESTORE}') from error
    try:
        for entries in contents.values():
            for entry in entries.values():
                _ = entry['file'], entry['sha256'], dict(entry['config'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} does not describe networks ({reason(error)}). Restore it {_RESTORE}'
        ) from error
    return contents
