"""What needs MNIST itself."""

import os
import pathlib

import pytest


@pytest.fixture(scope='session')
def real_data():
    """Skips where MNIST has not been prepared, and only there: damaged data are a failure."""
    if not pathlib.Path(os.environ.get('TFDS_DATA_DIR', '/nonexistent'), 'mnist', '3.0.1').is_dir():
        pytest.skip('needs MNIST prepared by TensorFlow Datasets in TFDS_DATA_DIR')
