"""The models that the challenges' authors released: fetched, verified and imported.

Each is a zip with a checkpoint of TF1. Addresses, digests and the network arrive as values.
"""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import keras

from common.errors import UserError
from common.networks import checkpoints, download
from common.networks.weights import load_weights, save_weights

WEIGHTS = 'last.weights.h5'


@dataclasses.dataclass(frozen=True)
class Release:
    """A zip on the web: its address and its SHA-256 in hexadecimal digits."""

    url: str
    sha256: str


def chosen(releases: Mapping[str, Release], name: str | None) -> Release:
    """The release that --name names.

    Raises:
        UserError: no name, or one of no release.
    """
    if name is None or name not in releases:
        raise UserError(
            f'expected --name to be one of: {", ".join(releases)}; found {name or "none"}. '
            f'For example --name={list(releases)[-1]}.'
        )
    return releases[name]


def fetch_model(
    name: str,
    release: Release,
    output_dir: str | os.PathLike,
    network: Callable[[], keras.Model],
    import_tf1: Callable[[keras.Model, str], None],
) -> pathlib.Path:
    """Downloads, verifies, unpacks and imports a released model, unless it is there already.

    Args:
        name: of the model's folder.
        release: where the zip is and what its digest must be.
        output_dir: the parent of the model's folder.
        network: makes a network of the released kind, with any weights.
        import_tf1: copies the weights of the TF1 checkpoint with that prefix into such a network.

    Returns:
        The folder, with `checkpoint-<step>` (TF1) and last.weights.h5 (the network's). It appears
        complete or not at all.

    Raises:
        UserError: the zip is not available or not the published one, the folder cannot be written,
            or something else is in its place.
    """
    folder = pathlib.Path(output_dir) / name
    if os.path.lexists(folder):
        _check_present(folder, network)
        print(f'{folder} is there already and its weights load; nothing to do.')
        return folder
    made_here = not folder.parent.exists()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f'.{name}.') as temporary:
            prepared = _unpacked(name, release, pathlib.Path(temporary))
            _import(prepared, network(), import_tf1)
            os.rename(prepared, folder)
    except OSError as error:
        raise UserError(
            f'cannot write {folder}: {error.strerror or error}. Choose an --output_dir that can be '
            'written and has room, and run the same command again.'
        ) from error
    finally:
        if made_here:
            with contextlib.suppress(OSError):  # something is in it
                folder.parent.rmdir()
    print(f'{folder}: the released checkpoint, and its weights as {WEIGHTS}.')
    return folder


def _check_present(folder: pathlib.Path, network: Callable[[], keras.Model]) -> None:
    remedy = 'Move it away, or choose another --output_dir, and run the same command again.'
    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f'expected no {folder}, or a model fetched earlier; found it without '
            f'{WEIGHTS}. {remedy}'
        )
    try:
        load_weights(network(), folder / WEIGHTS)
    except UserError as error:
        raise UserError(f'{error} {remedy}') from error


def _unpacked(name: str, release: Release, temporary: pathlib.Path) -> pathlib.Path:
    """The folder of the released checkpoint, somewhere below `temporary`."""
    archive = temporary / f'{name}.zip'
    download.fetch(release.url, archive, release.sha256)
    unpacked = temporary / 'unpacked'
    download.unpack(archive, unpacked)
    return _folder_of_checkpoint(unpacked, release)


def _folder_of_checkpoint(unpacked: pathlib.Path, release: Release) -> pathlib.Path:
    folders = sorted({path.parent for path in unpacked.rglob('checkpoint-*.index')})
    folders = [folder for folder in folders if checkpoints.latest_in(folder)]
    if len(folders) != 1:
        found = ', '.join(str(folder.relative_to(unpacked)) for folder in folders) or 'none'
        raise UserError(
            f'expected one folder with checkpoint-<step>.index in {release.url}; found {found}. '
            'Its contents have changed: report it to this project.'
        )
    return folders[0]


def _import(
    folder: pathlib.Path, network: keras.Model, import_tf1: Callable[[keras.Model, str], None]
) -> None:
    config = folder / 'config.json'
    if config.exists():
        # A config.json beside weights describes a network of this project; this one does not.
        config.rename(folder / 'challenge_config.json')
    prefix = checkpoints.chosen_in(folder)
    assert prefix is not None, 'the folder was chosen by its checkpoint'
    import_tf1(network, prefix)
    save_weights(network, folder / WEIGHTS)
