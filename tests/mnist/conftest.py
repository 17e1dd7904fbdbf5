"""Fixtures for tests that need MNIST itself."""

import os
import pathlib

import pytest


@pytest.fixture(scope='session')
def real_data():
    """Skips the test only if MNIST has not been prepared: damaged data must fail."""
    if not pathlib.Path(os.environ.get('TFDS_DATA_DIR', '/nonexistent'), 'mnist', '3.0.1').is_dir():
        pytest.skip('needs MNIST prepared by TensorFlow Datasets in TFDS_DATA_DIR')
