"""Few drawn images, and a network that was trained on them for a moment."""

import dataclasses

import pytest

from cifar10 import drawn, train


@pytest.fixture(scope='session')
def few_images():
    """Drawn data of 64 training and 40 test images, in all tests of a session that ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, 'DEFAULT_NUM_EXAMPLES', {'train': 64, 'test': 40})
        yield


@pytest.fixture(scope='session')
def run(tmp_path_factory, run_program, few_images):
    """Model folder of a short training of the simple network with mixed precision."""
    return short_training(run_program, tmp_path_factory.mktemp('models') / 'A')


@pytest.fixture(scope='session')
def run_of_b(tmp_path_factory, run_program, few_images):
    """The same of network B, which takes far less time to load and compile."""
    return short_training(run_program, tmp_path_factory.mktemp('models') / 'B', '--network=B')


def short_training(run_program, folder, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        # Validation by one step instead of 20, which would take as long as all the rest to compile.
        patch.setattr(train, 'CIFAR10', dataclasses.replace(train.CIFAR10, steps=1))
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
        )
    assert status == 0, err
    return folder
