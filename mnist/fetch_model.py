"""Downloads a model that the MNIST challenge released (the challenge's fetch_model.py).

    python -m mnist.fetch_model --name=secret

The zip is compared with its published SHA-256 before anything is unpacked. As in the challenge the
TF1 checkpoint comes to models/<name>/checkpoint-<step>; beside it the weights are written once more
as last.weights.h5, which all programs here read.
"""

import dataclasses
import os
import pathlib
import tempfile

from absl import flags

from common import checkpoints, cli, download, tf1_checkpoint
from common.errors import UserError
from common.weights import save_weights
from mnist import tf1
from mnist.model import network_a

FLAGS = flags.FLAGS
WEIGHTS = 'last.weights.h5'


@dataclasses.dataclass(frozen=True)
class Release:
    """A zip on the web: its address and its SHA-256 in hexadecimal digits."""

    url: str
    sha256: str


_HOST = 'https://github.com/MadryLab/mnist_challenge_models/raw/master'
RELEASES = {
    'natural': Release(
        f'{_HOST}/natural.zip',
        '3e4856e447628207f75034a6e5d425dcb2eadca221253818f7cce3c9def296e9'),
    'adv_trained': Release(
        f'{_HOST}/adv_trained.zip',
        'c0b4d9a7083643c6fbbcb66a60985caf3969a8b152d3c6876ff498864ec555bb'),
    'secret': Release(
        f'{_HOST}/secret.zip',
        '14eea09c72092db5c2eb5e34cd105974f42569281d2f34826316e356d057f96d'),
}


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_string('name', None, f'Which model: {", ".join(RELEASES)}. Required.')
    flags.DEFINE_string('output_dir', 'models', 'The model comes to a folder <name> in here.')


def main() -> None:
    """Reads the flags, fetches the model and says what can be done with it."""
    if FLAGS.name not in RELEASES:
        raise UserError(
            f'expected --name to be one of: {", ".join(RELEASES)}; found '
            f'{FLAGS.name or "none"}. For example --name=secret.')
    folder = fetch_model(FLAGS.name, RELEASES[FLAGS.name], FLAGS.output_dir)
    print(f'Attack it with: python -m mnist.eval_attack --target={folder}')


def fetch_model(name: str, release: Release, output_dir: str | os.PathLike) -> pathlib.Path:
    """Downloads, verifies, unpacks and imports a released model, unless it is there already.

    Args:
        name: of the model's folder.
        release: where the zip is and what its digest must be.
        output_dir: the parent of the model's folder.

    Returns:
        The folder, with `checkpoint-<step>` (TF1) and last.weights.h5 (network A). It appears
        complete or not at all.

    Raises:
        UserError: the zip cannot be had or is not the published one, the folder cannot be written,
            or something else is in its place.
    """
    folder = pathlib.Path(output_dir) / name
    if os.path.lexists(folder):
        _check_present(folder)
        print(f'{folder} is there already and its weights load; nothing to do.')
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f'.{name}.') as temporary:
            prepared = _prepare(name, release, pathlib.Path(temporary))
            os.rename(prepared, folder)
    except OSError as error:
        raise UserError(
            f'cannot write {folder}: {error.strerror or error}. Choose an --output_dir that can be '
            'written and has room, and run the same command again.') from error
    print(f'{folder}: the released checkpoint, and its weights as {WEIGHTS}.')
    return folder


def _check_present(folder: pathlib.Path) -> None:
    remedy = 'Move it away, or choose another --output_dir, and run the same command again.'
    if not (folder / WEIGHTS).is_file():
        raise UserError(f'expected no {folder}, or a model fetched earlier; found it without '
                        f'{WEIGHTS}. {remedy}')
    try:
        checkpoints.load_weights(network_a(), folder / WEIGHTS)
    except UserError as error:
        raise UserError(f'{error} {remedy}') from error


def _prepare(name: str, release: Release, temporary: pathlib.Path) -> pathlib.Path:
    """The finished model's folder, somewhere below `temporary`."""
    archive = temporary / f'{name}.zip'
    download.fetch(release.url, archive, release.sha256)
    unpacked = temporary / 'unpacked'
    download.unpack(archive, unpacked)
    folder = _folder_of_checkpoint(unpacked, release)
    config = folder / 'config.json'
    if config.exists():
        # A config.json beside weights describes a network of this project; this one does not.
        config.rename(folder / 'challenge_config.json')
    network = network_a()
    tf1.import_checkpoint(network, tf1_checkpoint.latest_in(folder))
    save_weights(network, folder / WEIGHTS)
    return folder


def _folder_of_checkpoint(unpacked: pathlib.Path, release: Release) -> pathlib.Path:
    folders = sorted({path.parent for path in unpacked.rglob('checkpoint-*.index')})
    folders = [folder for folder in folders if tf1_checkpoint.latest_in(folder)]
    if len(folders) != 1:
        found = ', '.join(str(folder.relative_to(unpacked)) for folder in folders) or 'none'
        raise UserError(
            f'expected one folder with checkpoint-<step>.index in {release.url}; found {found}. '
            'Its contents have changed: report it to this project.')
    return folders[0]


if __name__ == '__main__':
    cli.run(main, define_flags)
