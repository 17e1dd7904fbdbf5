"""The models that the CIFAR-10 challenge's authors released."""

from cifar10 import tf1
from cifar10.model import network_a
from common.networks.challenge_models import Release
from common.programs.data_set import ChallengeModels

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

CHALLENGE_MODELS = ChallengeModels(
    RELEASES, lambda: network_a('wide'), tf1.import_checkpoint, tf1.export_checkpoint
)
