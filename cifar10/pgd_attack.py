"""The challenge's PGD attack on CIFAR-10; as a program it writes a submission.

    python -m cifar10.pgd_attack --output=attack.npy
    python -m cifar10.run_attack --input=attack.npy

In Python, `PGDAttack` is the challenge's `LinfPGDAttack` for any Keras model that returns logits.
"""

from absl import flags

from cifar10 import dataset, model
from common.attacks import PGD, CompiledAttack
from common.attacks.by_name import checked_ball, restarted
from common.evaluation.crafting import Crafting
from common.files import require_writable
from common.losses import CrossEntropy, Loss, make_loss
from common.networks.logits import LogitsFn
from common.programs import cli
from common.programs import flags as shared_flags
from common.submission.writer import write_submission
from common.threat_model import LinfBall
from common.transfer import Source

STEPS = 20  # of an evaluation
TRAINING_STEPS = 7  # of the paper's training adversary, and of its table; the config has 10
STEP_SIZE = 2.0
BATCH_SIZE = 100  # the challenge's eval_batch_size

FLAGS = flags.FLAGS


def challenge_pgd(
    epsilon: float = dataset.EPSILON,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    loss: Loss = CrossEntropy(),
    random_start: bool = True,
) -> PGD:
    """PGD with the challenge's defaults, inside the pixel range [0, 255]."""
    return PGD(
        LinfBall(epsilon, dataset.LOWER, dataset.UPPER), steps, step_size, loss, random_start
    )


class PGDAttack(CompiledAttack):
    """The challenge's attack on one network, compiled once for all batches.

    Args:
        logits_fn: [batch, 32, 32, 3] float32 -> [batch, 10] logits: a Keras model or ModelLogits.
        **settings: of `challenge_pgd`.
    """

    def __init__(self, logits_fn: LogitsFn, **settings):
        super().__init__(challenge_pgd(**settings), logits_fn)


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_attack(
        dataset.DATASETS, epsilon=dataset.EPSILON, steps=STEPS, step_size=STEP_SIZE
    )
    shared_flags.define_jit_compile()
    shared_flags.define_loss()
    shared_flags.define_network()
    shared_flags.define_batch_size(BATCH_SIZE)
    shared_flags.define_restarts()
    flags.DEFINE_string(
        'output', 'attack.npy', 'The submission to write, (10000, 32, 32, 3) float32.'
    )


def main() -> None:
    """Reads the flags, attacks the whole test set and writes the submission."""
    require_writable(FLAGS.output)
    ball = checked_ball(FLAGS.epsilon, dataset.LOWER, dataset.UPPER, shared_flags.reach())
    attack = PGD(
        ball,
        FLAGS.steps,
        FLAGS.step_size,
        make_loss(FLAGS.loss, kappa=FLAGS.kappa),
        FLAGS.random_start,
    )
    attack = restarted(attack, FLAGS.restarts, randomized=FLAGS.random_start)
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    network = Source(FLAGS.checkpoint, model.load(FLAGS.checkpoint))
    write_submission(
        FLAGS.output,
        attack,
        network,
        test,
        ball=ball,
        shape=test.x.shape,
        crafting=Crafting(FLAGS.batch_size, FLAGS.seed, FLAGS.attack_dtype, FLAGS.jit_compile),
    )
    print(
        f'wrote {FLAGS.output}; check it with: python -m cifar10.run_attack --input={FLAGS.output}'
    )


if __name__ == '__main__':
    cli.run(main, define_flags)
