"""The models that the MNIST challenge's authors released."""

from common.networks.challenge_models import Release
from common.programs.data_set import ChallengeModels
from mnist import tf1
from mnist.model import network_a

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

CHALLENGE_MODELS = ChallengeModels(
    RELEASES, network_a, tf1.import_checkpoint, tf1.export_checkpoint
)
