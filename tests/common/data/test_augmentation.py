"""Crops and mirror images turn every image into one of its views; warps agree with matrices."""

import numpy as np
import pytest
import tensorflow as tf

from common.data.augmentation import Crops, Warp

N = 600
RNG = np.random.default_rng(0)
# No two crops or mirror images look alike, and no pixel is 0 except in the padding.
IMAGE = RNG.uniform(1, 255, (32, 32, 3)).astype(np.float32)
CHALLENGE = Crops(2, mirror=True)
AFFINE = Warp(degrees=20, stretch=0.2, slant=0.3, shift=3)
BENT = Warp(bend=2)
CASES = {
    'crops and mirror images': CHALLENGE,
    'crops alone': Crops(2),
    'affine': AFFINE,
    'bent': BENT,
}


def views(crops):
    """All views of the image, by plain slicing."""
    width = crops.padding
    padded = np.pad(IMAGE, [(width, width), (width, width), (0, 0)])
    for row in range(2 * width + 1):
        for column in range(2 * width + 1):
            crop = padded[row : row + 32, column : column + 32]
            yield crop
            if crops.mirror:
                yield crop[:, ::-1]


def drawn(crops, seed):
    return crops(tf.constant(np.broadcast_to(IMAGE, (N, *IMAGE.shape))), tf.constant(seed))


@pytest.mark.parametrize(
    ('crops', 'number', 'bound'),
    [
        # Chi-square with number - 1 degrees of freedom, at 1 in 1,000.
        (CHALLENGE, 50, 85.4),
        (Crops(2), 25, 51.2),
        (Crops(1), 9, 26.1),
    ],
)
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


@pytest.mark.parametrize('nothing', [Crops(0), Warp()])
def test_without_an_amount_images_stay(nothing):
    np.testing.assert_array_equal(drawn(nothing, [0, 0])[0], IMAGE)


def nearest(image, matrix, move):
    """The input pixel nearest to the source of each pixel, by loops; 0 outside the image."""
    height, width = image.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = np.round(matrix @ ([column, row] - middle) + middle - move).astype(int)
            if 0 <= x < width and 0 <= y < height:
                result[row, column] = image[y, x]
    return result


def test_affine_maps_are_those_of_the_matrices():
    seed, n = tf.constant([5, 6]), 12
    found = AFFINE(tf.constant(np.broadcast_to(IMAGE, (n, *IMAGE.shape))), seed).numpy()
    draws = tf.random.stateless_uniform([6, n], seed, -1.0, 1.0).numpy().astype(np.float64)
    for image, (turn, tall, wide, slant, down, right) in zip(found, draws.T, strict=True):
        angle = np.radians(20 * turn)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = rotation @ [[1, 0.3 * slant], [0, 1]] @ np.diag([1 + 0.2 * wide, 1 + 0.2 * tall])
        expected = nearest(IMAGE, matrix, 3 * np.array([right, down]))
        # Where a pixel comes from halfway between two others, rounding decides.
        assert np.mean(image != expected) < 0.005


@pytest.mark.parametrize('axis', ['rows', 'columns'])
def test_affine_moves_are_drawn_from_plus_to_minus_the_greatest(axis):
    dot = np.zeros((N, 15, 11, 1), np.float32)
    dot[:, 7, 5] = 1
    moved = Warp(shift=3)(tf.constant(dot), tf.constant([1, 1])).numpy()
    at = np.argwhere(moved[..., 0] == 1)
    moves = at[:, 1] - 7 if axis == 'rows' else at[:, 2] - 5
    assert set(moves) == set(range(-3, 4))
    # Uniform from -3 to 3, to whole pixels: each inner place is expected 100 times.
    counts = np.bincount(moves + 3)[1:-1]
    assert (abs(counts - 100) < 40).all()


def sources(warp):
    """Source rows and columns of the pixels, [N, 32, 32] each; 32 where outside the image."""
    places = np.stack(np.meshgrid(range(32), range(32), indexing='ij'), axis=-1) - 32.0
    images = np.broadcast_to(places, (N, 32, 32, 2)).astype(np.float32)
    return np.moveaxis(warp(tf.constant(images), tf.constant([2, 2])).numpy() + 32, -1, 0)


@pytest.mark.parametrize('axis', [0, 1])
def test_a_bend_through_one_place_moves_the_image_as_a_whole(axis):
    # Pixels 5 from the border cannot come from outside of it.
    moves = (sources(Warp(bend=4, knots=1)) - np.indices((32, 32))[:, None])[axis, :, 5:-5, 5:-5]
    assert (moves == moves[:, :1, :1]).all()
    assert set(moves[:, 0, 0]) == set(range(-4, 5))


@pytest.mark.parametrize('axis', [0, 1])
def test_bends_differ_over_the_image_but_little_between_neighbours(axis):
    moves = (sources(BENT) - np.indices((32, 32))[:, None])[axis, :, 4:-4, 4:-4]
    # A bicubic surface overshoots what it goes through by at most a quarter along each axis.
    assert 2 <= abs(moves).max() <= 2 * 1.25**2 + 0.5
    assert 0.5 < moves.std() < 2 / 3**0.5
    assert (np.ptp(moves, axis=(1, 2)) >= 2).mean() > 0.9
    # Moves of -2 to 2 at places more than 6 pixels apart; as random moves would, one in two jumps.
    assert (abs(np.diff(moves, axis=2)) > 1).mean() < 0.01


@pytest.mark.parametrize('crops', CASES.values(), ids=CASES)
def test_works_in_a_graph_with_any_batch(crops):
    traced = tf.function(
        crops.__call__,
        input_signature=[tf.TensorSpec([None, 32, 32, 3]), tf.TensorSpec([2], tf.int32)],
    )
    x = tf.constant(RNG.uniform(0, 255, (7, 32, 32, 3)).astype(np.float32))
    np.testing.assert_array_equal(traced(x, tf.constant([1, 2])), crops(x, tf.constant([1, 2])))
