"""Padding, random crops and mirror images: every image becomes one of its views."""

import numpy as np
import pytest
import tensorflow as tf

from common.augmentation import Crops

N = 600
RNG = np.random.default_rng(0)
# No two places or sides look alike, and no pixel is 0, which only the padding is.
IMAGE = RNG.uniform(1, 255, (32, 32, 3)).astype(np.float32)
CHALLENGE = Crops(2, mirror=True)
CASES = {'crops and mirror images': CHALLENGE, 'crops alone': Crops(2)}


def views(crops):
    """All views of the image, by plain slicing."""
    width = crops.padding
    padded = np.pad(IMAGE, [(width, width), (width, width), (0, 0)])
    for row in range(2 * width + 1):
        for column in range(2 * width + 1):
            crop = padded[row:row + 32, column:column + 32]
            yield crop
            if crops.mirror:
                yield crop[:, ::-1]


def drawn(crops, seed):
    return crops(tf.constant(np.broadcast_to(IMAGE, (N, *IMAGE.shape))), tf.constant(seed))


@pytest.mark.parametrize(('crops', 'number', 'bound'), [
    # Chi-square with number - 1 degrees of freedom, at 1 in 1,000.
    (CHALLENGE, 50, 85.4), (Crops(2), 25, 51.2), (Crops(1), 9, 26.1)])
def test_every_image_is_one_of_its_views_and_all_occur_about_equally(crops, number, bound):
    known = [view.tobytes() for view in views(crops)]
    found = [image.tobytes() for image in drawn(crops, [0, 0]).numpy()]
    assert len(known) == number and set(found) <= set(known)
    expected = N / number
    assert sum((found.count(view) - expected) ** 2 / expected for view in known) < bound


@pytest.mark.parametrize('crops', CASES.values(), ids=CASES)
def test_the_seed_decides(crops):
    np.testing.assert_array_equal(drawn(crops, [3, 1]), drawn(crops, [3, 1]))
    assert (drawn(crops, [3, 1]).numpy() != drawn(crops, [4, 1]).numpy()).any()


def test_without_padding_images_stay():
    np.testing.assert_array_equal(drawn(Crops(0), [0, 0])[0], IMAGE)


@pytest.mark.parametrize('crops', CASES.values(), ids=CASES)
def test_works_in_a_graph_with_any_batch(crops):
    traced = tf.function(crops.__call__, input_signature=[
        tf.TensorSpec([None, 32, 32, 3]), tf.TensorSpec([2], tf.int32)])
    x = tf.constant(RNG.uniform(0, 255, (7, 32, 32, 3)).astype(np.float32))
    np.testing.assert_array_equal(traced(x, tf.constant([1, 2])), crops(x, tf.constant([1, 2])))
