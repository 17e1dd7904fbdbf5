"""PGD of this project against other libraries: the same network, images, batches and steps.

    pip install -r benchmarks/requirements.txt
    python benchmarks/peers.py

Measures image gradients per second on the released network A: images times steps, divided by wall
time without compilation. Libraries alternate; the result is the median of the repeats. This project
runs several batches at a time, as its evaluations do (common/evaluation/concurrent_batches.py), and
also one batch at a time, as the other libraries do. Libraries that are not installed are left out.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import functools
import importlib
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from art_network import art_module, art_network
from machine import describe_machine

from common.attacks import CompiledAttack
from common.data.batches import Examples
from common.evaluation.concurrent_batches import in_order
from common.networks.logits import DTYPES, ModelLogits
from common.programs import cli
from mnist import dataset, model
from mnist.data_set import MNIST

FLAGS = flags.FLAGS
OURS = 'this project'
ONE_BY_ONE = ', one by one'
Craft = Callable[[np.ndarray, np.ndarray], object]
"""([n, 28, 28, 1] float32 images, [n] labels): one attack on the batch, done when it returns."""


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_integer('batch_size', 200, 'Images per batch.', lower_bound=1)
    flags.DEFINE_integer('batches', 4, 'Batches in each timed attack.', lower_bound=1)
    flags.DEFINE_integer('steps', 40, 'PGD steps of an attack.', lower_bound=1)
    flags.DEFINE_integer('repeats', 5, 'Timed attacks per library.', lower_bound=1)
    flags.DEFINE_enum('dataset', 'mnist', list(dataset.DATASETS), 'The images.')


def main() -> None:
    """Measures and prints a table."""
    print(describe_machine())
    network = model.load('A')
    test = dataset.load('test', dataset=FLAGS.dataset)
    batches = [
        test.subset(slice(i * FLAGS.batch_size, (i + 1) * FLAGS.batch_size))
        for i in range(FLAGS.batches)
    ]
    crafts = {}
    for make in (_ours, _cleverhans, _foolbox, _art, _torch):
        try:
            crafts.update(make(network))
        except ModuleNotFoundError as error:
            print(f'left out: {make.__name__.strip("_")} ({error})')
    rates = _rates(crafts, batches)
    print(f'\n{"library":<40}{"gradients/s":>12}{"ours is faster by":>19}{"one by one":>12}')
    for name, rate in rates.items():
        ours = f'{OURS}, {"bfloat16" if "bfloat16" in name else "float32"}'
        faster = [
            '' if name.startswith(OURS) else f'{rates[mine] / rate:.2f}x'
            for mine in (ours, ours + ONE_BY_ONE)
        ]
        print(f'{name:<40}{rate:>12,.0f}{faster[0]:>19}{faster[1]:>12}')


def _rates(crafts: dict[str, Craft], batches: list[Examples]) -> dict[str, float]:
    """Name -> image gradients per second."""
    seconds = {name: [] for name in crafts}
    for repeat in range(-1, FLAGS.repeats):  # the first round compiles and is not counted
        for name, craft in crafts.items():
            together = name.startswith(OURS) and not name.endswith(ONE_BY_ONE)
            start = time.perf_counter()
            run = in_order if together else map
            for _ in run(lambda batch, craft=craft: craft(batch.x, batch.y), batches):
                pass
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - start)
    gradients = sum(map(len, batches)) * FLAGS.steps
    return {name: gradients / statistics.median(times) for name, times in seconds.items()}


def _ours(network: keras.Model) -> dict[str, Craft]:
    def attack(dtype: str) -> Craft:
        perturb = CompiledAttack(MNIST.pgd(steps=FLAGS.steps), ModelLogits(network, dtype))
        return lambda x, y: perturb(tf.constant(x), tf.constant(y), seed=(0, 0)).numpy()

    crafts = {f'{OURS}, {dtype}': attack(dtype) for dtype in DTYPES}
    return {**crafts, **{f'{name}{ONE_BY_ONE}': craft for name, craft in crafts.items()}}


def _cleverhans(network: keras.Model) -> dict[str, Craft]:
    attacks = importlib.import_module('cleverhans.tf2.attacks.projected_gradient_descent')
    return {
        'cleverhans (TF2)': lambda x, y: attacks.projected_gradient_descent(
            network,
            tf.constant(x),
            dataset.EPSILON,
            MNIST.step_size,
            FLAGS.steps,
            np.inf,
            clip_min=0.0,
            clip_max=1.0,
            y=tf.constant(y),
            sanity_checks=False,
        ).numpy()
    }


def _foolbox(network: keras.Model) -> dict[str, Craft]:
    foolbox = importlib.import_module('foolbox')
    target = foolbox.TensorFlowModel(network, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=MNIST.step_size, steps=FLAGS.steps)
    return {
        'Foolbox (TensorFlow)': lambda x, y: attack.run(
            target, tf.constant(x), tf.constant(y), epsilon=dataset.EPSILON
        ).numpy()
    }


def _art(network: keras.Model) -> dict[str, Craft]:
    attack = art_module('attacks.evasion').ProjectedGradientDescent(
        art_network(network),
        norm=np.inf,
        eps=dataset.EPSILON,
        eps_step=MNIST.step_size,
        max_iter=FLAGS.steps,
        num_random_init=1,
        batch_size=FLAGS.batch_size,
        verbose=False,
    )
    return {'ART (TensorFlow)': attack.generate}


def _torch(network: keras.Model) -> dict[str, Craft]:
    torch = importlib.import_module('torch')
    in_torch = importlib.import_module('network_in_torch')
    ported = in_torch.NetworkA(network.get_weights()).eval()

    def tensors(x: np.ndarray, y: np.ndarray):
        return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y).long()

    x = np.random.default_rng(0).random((9, *dataset.IMAGE_SHAPE), np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(
            ported(tensors(x, np.zeros(9))[0]).numpy(), network(x).numpy(), atol=1e-3
        )
    for parameter in ported.parameters():
        parameter.requires_grad_(False)
    last = importlib.import_module('copy').deepcopy(ported).to(memory_format=torch.channels_last)
    pgd = functools.partial(
        in_torch.pgd, epsilon=dataset.EPSILON, step_size=MNIST.step_size, steps=FLAGS.steps
    )
    crafts = {
        f'PyTorch {torch.__version__}': lambda x, y: pgd(ported, *tensors(x, y)),
        'PyTorch, channels last': lambda x, y: pgd(last, *tensors(x, y)),
        'PyTorch, channels last, bfloat16': lambda x, y: pgd(last, *tensors(x, y), bfloat16=True),
    }
    try:
        torchattacks = importlib.import_module('torchattacks')
    except ModuleNotFoundError as error:
        print(f'left out: torchattacks ({error})')
        return crafts
    attack = torchattacks.PGD(
        ported, eps=dataset.EPSILON, alpha=MNIST.step_size, steps=FLAGS.steps, random_start=True
    )
    return {**crafts, 'torchattacks': lambda x, y: attack(*tensors(x, y))}


if __name__ == '__main__':
    cli.run(main, define_flags)
