"""A DataSet of anybody's network and images, as flags name them."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from absl import flags

from common.attacks.on_arrays import STEPS, default_step_size
from common.data.batches import Examples
from common.data.checked import checked_images, checked_labels, require_shape
from common.data.own import paths_of, read_arrays
from common.errors import UserError
from common.files import sha256
from common.networks.logits import as_logits, input_shape
from common.networks.own import load_network
from common.networks.probe import probe
from common.networks.registry import Networks
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.threat_model import NORMS
from common.training.config import TrainingConfig
from common.training.setting import Subject, setting

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class OwnConfig(TrainingConfig):
    """Settings of the training of anybody's network: what flags give, and where it came from."""

    network: str = setting('The network.', subject=Subject.NETWORK)
    data_sha256: str = setting('Digests of the data files.', '', subject=Subject.DATA)
    norm: str = setting('The norm of the ball.', 'linf', subject=Subject.ATTACK)
    lower: float = setting('Smallest pixel value.', subject=Subject.DATA)
    upper: float = setting('Largest pixel value.', subject=Subject.DATA)


def define_flags() -> None:
    """Defines --model, --data, --bounds and --norm."""
    with about(Subject.NETWORK):
        shared_flags.define_path(
            'model',
            None,
            'Your network: a whole Keras model (*.keras), the folder of a SavedModel, a model '
            'folder of common.train, or package.module:name of a model, a function from pixels to '
            'logits, or a function without parameters that returns one.',
            required=True,
        )
    with about(Subject.DATA):
        flags.DEFINE_string(
            'data',
            None,
            'Your images and labels: an .npz file with the arrays x and y, or two files as '
            'IMAGES.npy,LABELS.npy.',
            required=True,
        )
        flags.DEFINE_list(
            'bounds',
            None,
            'Smallest and largest pixel value of the images, such as 0,255.',
            required=True,
        )
    with about(Subject.ATTACK):
        flags.DEFINE_enum('norm', 'linf', list(NORMS), 'The norm that --epsilon is measured in.')


def chosen_bounds() -> tuple[float, float]:
    """The pixel range of --bounds.

    Raises:
        UserError: it is not two finite numbers in order.
    """
    try:
        lower, upper = map(float, FLAGS.bounds)
        if lower < upper and math.isfinite(upper - lower):
            return lower, upper
    except ValueError:
        pass
    raise UserError(
        '--bounds: expected the smallest and the largest pixel value, such as 0,255 or -1,1; found '
        f'{",".join(FLAGS.bounds)!r}.'
    )


def digest_of_data(data: str) -> str:
    """SHA-256 of each data file.

    Raises:
        UserError: one is missing or is not what it should be.
    """
    read_arrays(data)  # in its words
    return ','.join(map(sha256, paths_of(data)))


def own_data_set(
    *,
    model: str,
    data: str,
    bounds: tuple[float, float],
    norm: str,
    epsilon: float,
    output: str | int | None = None,
    training: TrainingConfig | None = None,
) -> DataSet:
    """The DataSet that programs work on.

    Args:
        model: reference of the network, as `common.networks.own.load_network` takes it, or a model
            folder.
        data: reference of the images, as `common.data.own.read_arrays` takes it.
        bounds: the range of pixels.
        norm: one of `common.threat_model.NORMS`.
        epsilon: radius of the ball, in pixel units.
        output: name or number of the network's output that holds the logits.
        training: settings of a training run; None for none.
    """

    def load(split: str, *, dataset: str = data, data_dir: str | None = None) -> Examples:
        x, y = read_arrays(dataset)
        images = checked_images(x, bounds)
        network = as_logits(networks.load(model), output=output)
        require_shape(images.shape[1:], input_shape(network))
        classes = probe(network, images, gradients=False)
        return Examples(images, checked_labels(y, len(images), classes), dataset)

    networks = OwnNetworks(
        'own',
        lambda config: trainable(config['network'], config.get('seed', 0)),
        [{'network': model}],
    )
    return DataSet(
        key='own',
        title=data,
        names=(data,),
        load=load,
        lower=bounds[0],
        upper=bounds[1],
        classes=(),
        epsilon=epsilon,
        steps=STEPS,
        step_size=default_step_size(epsilon, STEPS),
        batch_size=100,
        submission_shape=(),
        networks=networks,
        kind_of_ball=NORMS[norm],
        training=training,
        holds_out_last=True,
    )


class OwnNetworks(Networks):
    """Networks by reference: those of `load_network`, and model folders of common.train."""

    def load(self, reference: str) -> Any:
        """See `load_network`; a model folder has its trained network."""
        folder = self.folder(reference)
        if folder is not None and (folder / 'config.json').is_file():
            return super().load(reference)
        return load_network(reference)


def trainable(reference: str, seed: int) -> keras.Model:
    """The Keras model that a reference names, with the weights that it has there.

    Initial weights of a model that code builds, and dropout's random numbers, follow from the seed.

    Raises:
        UserError: it is no Keras model.
    """
    keras.utils.set_random_seed(seed)
    network = load_network(reference)
    if not isinstance(network, keras.Model):
        raise UserError(
            f'--model: expected a Keras model, whose weights can be trained; found '
            f'{type(network).__name__} in {reference}.'
        )
    states = [v for v in network.variables if 'seed_generator_state' in v.path]
    for number, state in enumerate(states):
        drawn = np.random.SeedSequence([seed, number]).generate_state(int(np.prod(state.shape)))
        state.assign(drawn.reshape(state.shape).astype(state.dtype))
    return network
