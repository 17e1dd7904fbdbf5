"""The quick start."""

import importlib

import numpy as np
import tensorflow as tf

from common.errors import UserError
from mnist.dataset import load

# `mnist.__main__` under this name, since pytest itself is __main__.
quick_start = importlib.import_module('mnist.__main__')


def without_mnist(split, *, dataset, data_dir=None):
    if dataset == 'mnist':
        raise UserError('no MNIST here')
    return load(split, dataset=dataset)


def test_falls_back_to_drawn_images_loudly(run_program, tmp_path):
    picture = tmp_path / 'attack.png'
    status, out, err = run_program(
        quick_start, '--num_examples=20', f'--picture={picture}', load=without_mnist
    )
    assert status == 0
    assert 'no MNIST here' in err and 'DRAWN' in err
    assert 'drawn patterns (a stand-in, not MNIST) test, 20 images' in out
    methods = ('natural', 'fgsm', 'pgd')
    rows = [line.split() for line in out.splitlines() if line.startswith(methods)]
    assert tuple(row[0] for row in rows) == methods
    # The paper says nothing about drawn images.
    assert all(row[10] == '-' for row in rows)
    pixels = tf.io.decode_png(picture.read_bytes()).numpy()
    assert pixels.shape[2] == 3 and len(np.unique(pixels)) > 50


def test_does_not_fall_back_where_a_folder_was_named(run_program, tmp_path):
    status, out, err = run_program(quick_start, f'--data_dir={tmp_path}', load=without_mnist)
    assert (status, err) == (1, 'error: no MNIST here\n')
