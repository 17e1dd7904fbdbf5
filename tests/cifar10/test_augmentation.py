"""Padding, random crops and flips: every image becomes one of its 5 x 5 x 2 views."""

import numpy as np
import tensorflow as tf

from cifar10.augmentation import PADDING, augment

N = 600
RNG = np.random.default_rng(0)
# No two places or sides look alike, and no pixel is 0, which only the padding is.
IMAGE = RNG.uniform(1, 255, (32, 32, 3)).astype(np.float32)


def views():
    """(row, column, flipped) -> the view, by plain slicing."""
    padded = np.pad(IMAGE, [(PADDING, PADDING), (PADDING, PADDING), (0, 0)])
    result = {}
    for row in range(2 * PADDING + 1):
        for column in range(2 * PADDING + 1):
            crop = padded[row:row + 32, column:column + 32]
            result[row, column, False] = crop
            result[row, column, True] = crop[:, ::-1]
    return result


def drawn(seed):
    return augment(tf.constant(np.broadcast_to(IMAGE, (N, *IMAGE.shape))), tf.constant(seed))


def test_every_image_is_a_crop_or_its_mirror_image_and_all_occur_about_equally():
    known = {view.tobytes(): key for key, view in views().items()}
    found = [known[image.tobytes()] for image in drawn([0, 0]).numpy()]
    counts = [found.count(key) for key in known.values()]
    # Each of the 50 is expected 12 times; chi-square with 49 degrees of freedom, at 1 in 1,000.
    assert sum((count - N / 50) ** 2 / (N / 50) for count in counts) < 85.4


def test_the_seed_decides():
    np.testing.assert_array_equal(drawn([3, 1]), drawn([3, 1]))
    assert (drawn([3, 1]).numpy() != drawn([4, 1]).numpy()).any()


def test_works_in_a_graph_with_any_batch():
    traced = tf.function(augment, input_signature=[
        tf.TensorSpec([None, 32, 32, 3]), tf.TensorSpec([2], tf.int32)])
    x = tf.constant(RNG.uniform(0, 255, (7, 32, 32, 3)).astype(np.float32))
    np.testing.assert_array_equal(traced(x, tf.constant([1, 2])), augment(x, tf.constant([1, 2])))
