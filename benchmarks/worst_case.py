"""Robust accuracy over wall time: this project's cascade against AutoAttack on the same network.

    pip install -r benchmarks/requirements.txt
    python benchmarks/worst_case.py                      (hours; 500 images)
    python benchmarks/worst_case.py --num_examples=20    (a quick look)

AutoAttack's standard version (Croce and Hein 2020) runs APGD on the cross-entropy, then APGD-T,
FAB-T and Square on every wrong class, with 100 steps or 5,000 queries each, on the images that
still survive. Here it is built from the attacks of torchattacks, whose own `AutoAttack` takes only
10 steps; with --peer=art, it is ART's `AutoAttack` as it is. The Keras network classifies all
results in float32. The two take turns, one share of the images after the other, since machines are
not equally fast all day. This project compiles again for each share, and that time counts.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import importlib
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from art_network import art_module, art_network
from machine import describe_machine

from common.data.batches import Examples
from common.evaluation.accuracy import Judge
from common.evaluation.cascade import worst_case
from common.evaluation.cascades_by_name import PRESETS, preset
from common.evaluation.crafting import Crafting
from common.networks.logits import DTYPES, ModelLogits
from common.programs import cli
from common.statistics import wilson_interval
from mnist import dataset, model
from mnist.data_set import MNIST

FLAGS = flags.FLAGS
Craft = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""[n, 28, 28, 1] float32 images, [n] labels -> adversarial images of the same shape."""


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_integer(
        'num_examples', 500, 'Number of test images, evenly spaced.', lower_bound=1
    )
    flags.DEFINE_integer(
        'rounds', 2, 'Number of shares of the images; the two take turns on each.', lower_bound=1
    )
    flags.DEFINE_integer('batch_size', 125, 'Images per batch.', lower_bound=1)
    flags.DEFINE_enum('preset', 'standard', list(PRESETS), "This project's cascade.")
    flags.DEFINE_enum(
        'attack_dtype', 'float32', DTYPES, 'Precision of the gradients of this project.'
    )
    flags.DEFINE_enum(
        'peer', 'torchattacks', ['torchattacks', 'art'], 'The library whose AutoAttack is measured.'
    )
    flags.DEFINE_enum('dataset', 'mnist', list(dataset.DATASETS), 'The images.')


def main() -> None:
    """Measures and prints."""
    print(describe_machine())
    network = model.load('A')
    test = dataset.load('test', dataset=FLAGS.dataset)
    test = test.subset(slice(None, None, max(1, len(test) // FLAGS.num_examples)))
    test = test.subset(slice(FLAGS.num_examples))
    stages = {'torchattacks': _torchattacks, 'art': _art}[FLAGS.peer](network)
    ours, theirs = [], []
    for number in range(FLAGS.rounds):
        share = test.subset(slice(number, None, FLAGS.rounds))
        print(f'{len(share)} images, this project:', flush=True)
        ours.append(_our_cascade(network, share))
        print(f'{len(share)} images, {FLAGS.peer}:', flush=True)
        theirs.append(_run(stages, network, share))
    here, our_seconds = _report(f'this project, {FLAGS.preset}, {FLAGS.attack_dtype}', ours)
    there, their_seconds = _report(f'AutoAttack by {FLAGS.peer}', theirs)
    print(
        f'{their_seconds / our_seconds:.2f} times as fast; {np.sum(here & ~there)} images survive '
        f'only here, {np.sum(there & ~here)} only there'
    )


def _report(name: str, rounds: list[tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
    """Prints the result of all rounds together; returns which images survive, and the seconds."""
    standing = np.concatenate([standing for standing, _ in rounds])
    seconds = sum(seconds for _, seconds in rounds)
    low, high = wilson_interval(int(standing.sum()), len(standing))
    print(
        f'{name}: {standing.mean():.2%} ({low:.2%} to {high:.2%}, n = {len(standing)}) '
        f'after {seconds:,.0f} s'
    )
    return standing, seconds


def _our_cascade(network: keras.Model, test: Examples) -> tuple[np.ndarray, float]:
    """Which images survive, and the seconds, compilation included."""
    stages = preset(
        FLAGS.preset,
        MNIST.pgd().ball,
        steps=MNIST.steps,
        step_size=MNIST.step_size,
        num_classes=dataset.NUM_CLASSES,
    )
    verdict = worst_case(
        stages,
        network,
        Judge(ModelLogits(network)),
        test,
        crafting=Crafting(FLAGS.batch_size, dtype=FLAGS.attack_dtype),
        progress='this project',
    )
    for number, stage in enumerate(stages):
        print(
            f'  {stage.name:<24}{verdict.after(number + 1):>8.2%} left after '
            f'{verdict.seconds[: number + 1].sum():>8,.1f} s',
            flush=True,
        )
    return verdict.survived, float(verdict.seconds.sum())


def _run(
    stages: dict[str, Craft], network: keras.Model, test: Examples
) -> tuple[np.ndarray, float]:
    """Runs the natural images, then the peer's attacks in turn, on the images that survive."""
    judge, ball, start = Judge(ModelLogits(network)), MNIST.pgd().ball, time.perf_counter()
    standing = np.ones(len(test), bool)
    for name, craft in {'natural': lambda x, y: x, **stages}.items():
        for index in _batches(np.flatnonzero(standing)):
            x, y = test.x[index], test.y[index]
            x_adv = tf.constant(craft(x, y), tf.float32)
            if not ball.contains(x_adv, tf.constant(x)).numpy().all():
                raise ValueError(f'{name}: images outside the ball')
            standing[index] = judge(x_adv, tf.constant(y))[0] == y
        print(
            f'  {name:<24}{standing.mean():>8.2%} left after '
            f'{time.perf_counter() - start:>8,.1f} s',
            flush=True,
        )
    return standing, time.perf_counter() - start


def _batches(index: np.ndarray) -> Iterator[np.ndarray]:
    for i in range(0, len(index), FLAGS.batch_size):
        yield index[i : i + FLAGS.batch_size]


def _torchattacks(network: keras.Model) -> dict[str, Craft]:
    torch, torchattacks = (importlib.import_module(name) for name in ('torch', 'torchattacks'))
    ported = importlib.import_module('network_in_torch').NetworkA(network.get_weights()).eval()
    ported = ported.requires_grad_(False).to(memory_format=torch.channels_last)
    shared = {'eps': dataset.EPSILON, 'norm': 'Linf', 'seed': 0}

    def craft(attack) -> Craft:
        def run(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
            x_adv = attack(images, torch.from_numpy(y).long())
            # Projected, since the checks allow only the rounding of the ball itself.
            return _inside(x_adv.detach().numpy().transpose(0, 2, 3, 1), x)

        return run

    return {
        name: craft(attack)
        for name, attack in {
            'APGD-CE': torchattacks.APGD(ported, steps=100, loss='ce', **shared),
            'APGD-T': torchattacks.APGDT(ported, steps=100, n_classes=10, **shared),
            'FAB-T': torchattacks.FAB(
                ported, steps=100, multi_targeted=True, n_classes=10, **shared
            ),
            'Square': torchattacks.Square(ported, n_queries=5000, resc_schedule=False, **shared),
        }.items()
    }


def _art(network: keras.Model) -> dict[str, Craft]:
    attack = art_module('attacks.evasion').AutoAttack(
        art_network(network), eps=dataset.EPSILON, eps_step=0.1, batch_size=FLAGS.batch_size
    )
    return {'AutoAttack': lambda x, y: _inside(attack.generate(x, y), x)}


def _inside(x_adv: np.ndarray, x: np.ndarray) -> np.ndarray:
    return MNIST.pgd().ball.project(tf.constant(x_adv, tf.float32), tf.constant(x)).numpy()


if __name__ == '__main__':
    cli.run(main, define_flags)
