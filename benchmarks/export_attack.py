"""Exports PGD on the released network A to a machine that has a GPU and JAX but no TensorFlow.

    pip install jax flatbuffers
    python benchmarks/export_attack.py --output=exported

Copy the output folder and benchmarks/ to that machine, and run there:

    python benchmarks/run_exported.py exported

The export is the project's own `tf.function`, lowered to StableHLO, which XLA compiles for the GPU:
once with the network as Keras computes it, and once ("rearranged") as
common/networks/fast_gradients.py does.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import json
import pathlib
from collections.abc import Callable

import jax
import keras
import numpy as np
import tensorflow as tf
from absl import flags
from jax.experimental import jax2tf
from pgd import FLOP_PER_GRADIENT

from common.networks.fast_gradients import rearranged
from common.networks.logits import DTYPES, LogitsFn, ModelLogits
from common.programs import cli
from mnist import dataset, model
from mnist.data_set import MNIST

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_string('output', 'exported', 'Folder to write to.')
    flags.DEFINE_list('batch_sizes', ['200', '2000'], 'Batch sizes to export.')
    flags.DEFINE_integer('steps', 40, 'PGD steps of an attack.', lower_bound=1)


def main() -> None:
    """Exports each variant."""
    folder = pathlib.Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    network = model.load('A')
    variants = []
    for batch_size in map(int, FLAGS.batch_sizes):
        for dtype in DTYPES:
            for arrangement, make_logits_fn in _arrangements(network, dtype).items():
                name = f'{arrangement}-{dtype}-{batch_size}.stablehlo'
                (folder / name).write_bytes(_exported(network, make_logits_fn, batch_size))
                variants.append(
                    {
                        'file': name,
                        'arrangement': arrangement,
                        'dtype': dtype,
                        'batch_size': batch_size,
                    }
                )
                print(folder / name)
    np.savez(folder / 'weights.npz', *network.get_weights())
    settings = {
        'steps': FLAGS.steps,
        'epsilon': dataset.EPSILON,
        'step_size': MNIST.step_size,
        'image_shape': dataset.IMAGE_SHAPE,
        'num_classes': dataset.NUM_CLASSES,
        'flop_per_gradient': FLOP_PER_GRADIENT,
        'variants': variants,
    }
    (folder / 'settings.json').write_text(json.dumps(settings, indent=1) + '\n')


def _arrangements(network: keras.Model, dtype: str) -> dict[str, Callable[[], LogitsFn]]:
    return {
        'as built': ModelLogits(network, dtype)._plain,
        'rearranged': lambda: rearranged(network, dtype),
    }


def _exported(
    network: keras.Model, make_logits_fn: Callable[[], LogitsFn], batch_size: int
) -> bytes:
    attack = MNIST.pgd(steps=FLAGS.steps)

    @tf.function(autograph=False, jit_compile=True)
    def perturb(weights, x, y, seed):
        # The weights are arguments so that the files do not contain them.
        with keras.StatelessScope(list(zip(network.variables, weights, strict=True))):
            return tf.ensure_shape(attack(make_logits_fn(), x, y, seed=seed), x.shape)

    arguments = (
        [np.asarray(variable) for variable in network.variables],
        np.zeros((batch_size, *dataset.IMAGE_SHAPE), np.float32),
        np.zeros(batch_size, np.int32),
        np.zeros(2, np.int32),
    )
    # Exported for CPUs, since exporting for a GPU needs one; the code is the same.
    return jax.export.export(
        jax.jit(jax2tf.call_tf(perturb, has_side_effects=False)),
        platforms=['cpu'],
        disabled_checks=[jax.export.DisabledSafetyCheck.platform()],
    )(*arguments).serialize()


if __name__ == '__main__':
    cli.run(main, define_flags)
