"""PGD of this project beside that of other libraries: the same network, images, batch and steps.

    pip install -r benchmarks/requirements.txt
    python benchmarks/peers.py

Image-gradients per second on the released network A: images times steps over wall time, compilation
apart, the libraries in alternation, the median of the repeats. A library that is not installed is
left out.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
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

from common import cli
from common.attacks import CompiledAttack
from common.logits import DTYPES, ModelLogits
from mnist import dataset, model
from mnist.pgd_attack import STEP_SIZE, challenge_pgd

FLAGS = flags.FLAGS
OURS = 'this project'
Run = Callable[[], object]
"""One attack on all images of the batch, finished when it returns."""


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_integer('batch_size', 200, 'Images.', lower_bound=1)
    flags.DEFINE_integer('steps', 40, 'PGD steps of an attack.', lower_bound=1)
    flags.DEFINE_integer('repeats', 5, 'Attacks timed of each library.', lower_bound=1)
    flags.DEFINE_enum('dataset', 'mnist', list(dataset.DATASETS), 'Which images.')


def main() -> None:
    """Measures and prints a table."""
    print(describe_machine())
    network = model.load('A')
    test = dataset.load('test', dataset=FLAGS.dataset).subset(slice(FLAGS.batch_size))
    runs = {}
    for make in (_ours, _cleverhans, _foolbox, _art, _torch):
        try:
            runs.update(make(network, test.x, test.y))
        except ModuleNotFoundError as error:
            print(f'left out: {make.__name__.strip("_")} ({error})')
    rates = _rates(runs)
    ours = {dtype: rates[f'{OURS}, {dtype}'] for dtype in DTYPES}
    print(f'\n{"library":<34}{"gradients/s":>12}{"this project is faster by":>28}')
    for name, rate in rates.items():
        dtype = 'bfloat16' if 'bfloat16' in name else 'float32'
        faster = '' if name.startswith(OURS) else f'{ours[dtype] / rate:.2f}x ({dtype})'
        print(f'{name:<34}{rate:>12,.0f}{faster:>28}')


def _rates(runs: dict[str, Run]) -> dict[str, float]:
    """Name -> image-gradients per second."""
    seconds = {name: [] for name in runs}
    for repeat in range(-1, FLAGS.repeats):  # the first round compiles and is not counted
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: FLAGS.batch_size * FLAGS.steps / statistics.median(times)
            for name, times in seconds.items()}


def _ours(network: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, Run]:
    def attack(dtype: str) -> Run:
        perturb = CompiledAttack(
            challenge_pgd(steps=FLAGS.steps), ModelLogits(network, dtype))
        return lambda: perturb(tf.constant(x), tf.constant(y), seed=(0, 0)).numpy()

    return {f'{OURS}, {dtype}': attack(dtype) for dtype in DTYPES}


def _cleverhans(network: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, Run]:
    attacks = importlib.import_module('cleverhans.tf2.attacks.projected_gradient_descent')
    return {'cleverhans (TF2)': lambda: attacks.projected_gradient_descent(
        network, tf.constant(x), dataset.EPSILON, STEP_SIZE, FLAGS.steps, np.inf, clip_min=0.0,
        clip_max=1.0, y=tf.constant(y), sanity_checks=False).numpy()}


def _foolbox(network: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, Run]:
    foolbox = importlib.import_module('foolbox')
    target = foolbox.TensorFlowModel(network, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP_SIZE, steps=FLAGS.steps)
    return {'Foolbox (TensorFlow)': lambda: attack.run(
        target, tf.constant(x), tf.constant(y), epsilon=dataset.EPSILON).numpy()}


def _art(network: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, Run]:
    attack = art_module('attacks.evasion').ProjectedGradientDescent(
        art_network(network), norm=np.inf, eps=dataset.EPSILON, eps_step=STEP_SIZE,
        max_iter=FLAGS.steps, num_random_init=1, batch_size=FLAGS.batch_size, verbose=False)
    return {'ART (TensorFlow)': lambda: attack.generate(x, y)}


def _torch(network: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, Run]:
    torch = importlib.import_module('torch')
    ported = importlib.import_module('network_in_torch').NetworkA(network).eval()
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y).long()
    with torch.no_grad():
        np.testing.assert_allclose(ported(images).numpy(), network(x).numpy(), atol=1e-3)
    for parameter in ported.parameters():
        parameter.requires_grad_(False)
    last = importlib.import_module('copy').deepcopy(ported).to(memory_format=torch.channels_last)
    runs = {
        f'PyTorch {torch.__version__}': lambda: _torch_pgd(torch, ported, images, labels),
        'PyTorch, channels last': lambda: _torch_pgd(torch, last, images, labels),
        'PyTorch, channels last, bfloat16': lambda: _torch_pgd(torch, last, images, labels, True)}
    try:
        torchattacks = importlib.import_module('torchattacks')
    except ModuleNotFoundError as error:
        print(f'left out: torchattacks ({error})')
        return runs
    attack = torchattacks.PGD(
        ported, eps=dataset.EPSILON, alpha=STEP_SIZE, steps=FLAGS.steps, random_start=True)
    return {**runs, 'torchattacks': lambda: attack(images, labels)}


def _torch_pgd(torch, network, x, y, bfloat16: bool = False):
    """PGD as one writes it in PyTorch without a library."""
    x_adv = torch.clamp(x + torch.empty_like(x).uniform_(-dataset.EPSILON, dataset.EPSILON), 0, 1)
    for _ in range(FLAGS.steps):
        x_adv = x_adv.detach().requires_grad_(True)
        with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(network(x_adv), y, reduction='sum')
        gradient, = torch.autograd.grad(loss, x_adv)
        moved = x_adv.detach() + STEP_SIZE * gradient.sign()
        x_adv = torch.clamp(
            torch.min(torch.max(moved, x - dataset.EPSILON), x + dataset.EPSILON), 0, 1)
    return x_adv


if __name__ == '__main__':
    cli.run(main, define_flags)
