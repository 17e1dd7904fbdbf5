"""Downloads a model that the MNIST challenge released (the challenge's fetch_model.py).

    python -m mnist.fetch_model --name=secret

The zip is compared with its published SHA-256 before anything is unpacked. As in the challenge the
TF1 checkpoint comes to models/<name>/checkpoint-<step>; beside it the weights are written once more
as last.weights.h5, which all programs here read.
"""

from absl import flags

from common.networks.challenge_models import Release, chosen, fetch_model
from common.programs import cli
from mnist import tf1
from mnist.model import network_a

FLAGS = flags.FLAGS

_HOST = 'https://github.com/MadryLab/mnist_challenge_models/raw/master'
RELEASES = {
    'natural': Release(
        f'{_HOST}/natural.zip', '3e4856e447628207f75034a6e5d425dcb2eadca221253818f7cce3c9def296e9'
    ),
    'adv_trained': Release(
        f'{_HOST}/adv_trained.zip',
        'c0b4d9a7083643c6fbbcb66a60985caf3969a8b152d3c6876ff498864ec555bb',
    ),
    'secret': Release(
        f'{_HOST}/secret.zip', '14eea09c72092db5c2eb5e34cd105974f42569281d2f34826316e356d057f96d'
    ),
}


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_string('name', None, f'Which model: {", ".join(RELEASES)}. Required.')
    flags.DEFINE_string('output_dir', 'models', 'The model comes to a folder <name> in here.')


def main() -> None:
    """Reads the flags, fetches the model and says what can be done with it."""
    folder = fetch_model(
        FLAGS.name,
        chosen(RELEASES, FLAGS.name),
        FLAGS.output_dir,
        network=network_a,
        import_tf1=tf1.import_checkpoint,
    )
    print(f'Attack it with: python -m mnist.eval_attack --target={folder}')


if __name__ == '__main__':
    cli.run(main, define_flags)
