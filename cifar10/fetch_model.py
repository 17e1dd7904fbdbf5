"""Downloads a model that the CIFAR-10 challenge released (the challenge's fetch_model.py).

    python -m cifar10.fetch_model --name=secret

The zip is compared with its published SHA-256 before anything is unpacked. As in the challenge the
TF1 checkpoint comes to models/<name>/checkpoint-<step>; beside it the weights are written once more
as last.weights.h5, which all programs here read.
"""

from absl import flags

from cifar10 import tf1
from cifar10.model import network_a
from common.networks.challenge_models import Release, chosen, fetch_model
from common.programs import cli

FLAGS = flags.FLAGS

_HOST = 'https://www.dropbox.com/s'
RELEASES = {
    'natural': Release(
        f'{_HOST}/cgzd5odqoojvxzk/natural.zip?dl=1',
        '6af2addfc5bc75e3b16b8654c907a8dfaebeffc600871115460063ade1cd1ee7',
    ),
    'adv_trained': Release(
        f'{_HOST}/g4b6ntrp8zrudbz/adv_trained.zip?dl=1',
        '996384ac78ec749673e43cb823b9fb837a4da8d529ed2ef98e8d94053529fa5d',
    ),
    'secret': Release(
        f'{_HOST}/ywc0hg8lr5ba8zd/secret.zip?dl=1',
        '555be6e892372599380c9da5d5f9802f9cbd098be8a47d24d96937a002305fd4',
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
        network=lambda: network_a('wide'),
        import_tf1=tf1.import_checkpoint,
    )
    print(f'Attack it with: python -m cifar10.eval_attack --target={folder}')


if __name__ == '__main__':
    cli.run(main, define_flags)
