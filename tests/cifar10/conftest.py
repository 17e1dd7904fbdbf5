"""A few drawn images, and a network that was briefly trained on them."""

import pytest

from cifar10 import train
from common.data import stand_in

FEW = {'train': 64, 'test': 40}


@pytest.fixture(scope='module')
def few_images():
    """Replaces the images by 64 drawn training images and 40 drawn test images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, 'SIZES', FEW)
        yield


@pytest.fixture(scope='session')
def run(tmp_path_factory, run_program):
    """Model folder of the simple network after a short training in mixed precision."""
    return short_training(run_program, tmp_path_factory.mktemp('models') / 'A')


@pytest.fixture(scope='session')
def run_of_b(tmp_path_factory, run_program):
    """The same for network B, which takes far less time to load and compile."""
    return short_training(run_program, tmp_path_factory.mktemp('models') / 'B', '--network=B')


def short_training(run_program, folder, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, 'SIZES', FEW)
        # One validation step instead of 20, which would take as long to compile as everything else.
        status, _, err = run_program(
            train,
            '--dataset=drawn',
            '--recipe=fast',
            '--train_steps=4',
            '--batch_size=8',
            '--learning_rate_warmup=1',
            '--validation_size=16',
            '--validate_every=4',
            '--log_every=1',
            '--checkpoint_every=2',
            f'--model_dir={folder}',
            *arguments,
            steps=1,
        )
    assert status == 0, err
    return folder
