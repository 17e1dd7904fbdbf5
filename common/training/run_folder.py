"""The model folder of a training run, which holds one run and its config."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator

from common.errors import UserError
from common.files import alone_in, cannot_write, require_writable, write_json
from common.networks.checkpoints import is_of_training, latest_in, require_literal
from common.training.config import TrainingConfig

_WRITTEN = ('config.json', 'log.csv', 'last.weights.h5', 'best.weights.h5')


def check(
    model_dir: str | os.PathLike, config: TrainingConfig, earlier: TrainingConfig | None = None
) -> pathlib.Path:
    """Checks that `model_dir` is new or holds a run with the same config, and writes nothing.

    Args:
        model_dir: folder of the run.
        config: every setting that shapes the run.
        earlier: what runs were like before their config.json knew a setting, for those that it
            lacks; without it a setting that is absent is a difference.

    Returns:
        The folder.

    Raises:
        UserError: it is no folder, its path is a pattern to TensorFlow, or it holds a run with
            another config or without one.
    """
    folder = pathlib.Path(os.path.expanduser(model_dir))
    require_literal(folder)  # checkpoints would be written there and never found again
    path = folder / 'config.json'
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(
                f'expected a folder at --model_dir; found the file {folder}. '
                'Choose another --model_dir.'
            )
        if path.exists():
            _compare(path, config, earlier)
        else:
            _require_nothing_to_lose(folder)
    except OSError as error:  # a name too long, a folder closed to this user
        raise UserError(
            f'expected a folder at --model_dir; found that {folder} cannot be one '
            f'({error.strerror}). Choose another --model_dir.'
        ) from error
    return folder


def prepare(
    model_dir: str | os.PathLike, config: TrainingConfig, earlier: TrainingConfig | None = None
) -> pathlib.Path:
    """Makes the folder and writes config.json, once the config has proved usable.

    Arguments and result are those of `check`, which comes first.

    Raises:
        UserError: the folder or one of its files cannot be written, or it holds a run with another
            config.
    """
    folder = check(model_dir, config, earlier)
    for name in _WRITTEN:  # read-only ones are refused now, not after hours
        require_writable(folder / name)
    write_json(folder / 'config.json', config.to_json())
    return folder


def is_challenges(folder: pathlib.Path) -> bool:
    """Whether a challenge's own train.py has trained in a folder.

    It leaves its config.json, with keys of its own, and checkpoints of TF1.
    """
    with contextlib.suppress(OSError, ValueError):
        contents = json.loads((folder / 'config.json').read_text())
        if isinstance(contents, dict):
            return 'max_num_training_steps' in contents
    with contextlib.suppress(OSError, UserError):  # no folder; damaged: nobody's
        newest = latest_in(folder)
        return newest is not None and not is_of_training(newest)
    return False


@contextlib.contextmanager
def held(model_dir: str | os.PathLike) -> Iterator[None]:
    """Keeps a second run out of the folder, since the two would mix their logs and checkpoints.

    A folder that does not exist is made.

    Raises:
        UserError: another run holds it, or it cannot be made.
    """
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(alone_in(model_dir))
        except BlockingIOError:
            raise UserError(
                f'expected to be alone in {model_dir}; found another training at work there. '
                'Wait for its end, or choose a new --model_dir.'
            ) from None
        except OSError as error:
            raise cannot_write(model_dir, error) from error
        yield


def _require_nothing_to_lose(folder: pathlib.Path) -> None:
    """Refuses a run without its config, which can be neither resumed nor overwritten."""
    found = sorted(
        path.name
        for pattern in ('*.weights.h5', 'checkpoint*', 'log.csv')
        for path in folder.glob(pattern)
    )
    if found:
        raise UserError(
            f'expected a new folder, or one with the config.json of its run; found {folder} with '
            f'{found[0]} and no config.json. Restore that, or choose a new --model_dir.'
        )


def _compare(path: pathlib.Path, config: TrainingConfig, earlier: TrainingConfig | None) -> None:
    try:
        previous = json.loads(path.read_text())
        if not isinstance(previous, dict):
            raise ValueError('not an object')
        now = config.to_json()
        known = {key: value for key, value in previous.items() if key in now}
        there = (earlier or config).updated(known).to_json()
    except (OSError, TypeError, ValueError) as error:
        raise UserError(
            f'{path} cannot be read ({error}). Restore it, or choose a new --model_dir.'
        ) from error
    there.update((key, value) for key, value in previous.items() if key not in now)
    if earlier is None:
        there = {key: value for key, value in there.items() if key in previous}
    differences = [
        f'{key}: {there.get(key, "(absent)")} there, {now.get(key, "(absent)")} now'
        for key in sorted(there.keys() | now.keys())
        if there.get(key, '(absent)') != now.get(key, '(absent)')
    ]
    if differences:
        raise UserError(
            f'{path.parent} holds a run with another config ({"; ".join(differences)}). Give the '
            'same flags to resume it, or choose a new --model_dir.'
        )
