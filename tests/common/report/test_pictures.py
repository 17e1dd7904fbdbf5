"""Pictures of pairs: decoded again, they show the images and the right frames."""

import numpy as np
import pytest
import tensorflow as tf

from common.report.pictures import write_pairs

WHITE, BLUE, ORANGE = (255, 255, 255), (0, 114, 178), (230, 159, 0)
SCALE, MARGIN = 4, 6  # enlargement; frame and gap around each image


def drawn(path, x, x_adv, robust, **bounds):
    write_pairs(path, x, x_adv, np.array(robust), **bounds)
    picture = tf.io.decode_png(path.read_bytes()).numpy()
    height, width = x.shape[1] * SCALE + 2 * MARGIN, x.shape[2] * SCALE + 2 * MARGIN
    assert picture.shape == (2 * height, len(x) * width, 3)
    rows = picture.reshape(2, height, len(x), width, 3).swapaxes(1, 2)
    inside = rows[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    for dy in range(SCALE):
        for dx in range(SCALE):
            np.testing.assert_array_equal(
                inside[:, :, dy::SCALE, dx::SCALE], inside[:, :, ::SCALE, ::SCALE]
            )
    return rows, inside[:, :, ::SCALE, ::SCALE]


def test_grey_images_in_the_unit_interval(tmp_path):
    rng = np.random.default_rng(0)
    x, x_adv = rng.integers(0, 256, (2, 3, 5, 4, 1))
    scaled = [a.astype(np.float32) * np.float32(1 / 255) for a in (x, x_adv)]
    _, inside = drawn(tmp_path / 'p.png', *scaled, [True, False, True], lower=0.0, upper=1.0)
    for shown, pixels in zip(inside, (x, x_adv), strict=True):
        np.testing.assert_array_equal(shown, np.repeat(pixels, 3, axis=-1))


def test_colour_images_in_bytes_rounded_and_clipped(tmp_path):
    x = np.array([0.0, 10.4, 10.6, 255.0, 128.0, 7.0], np.float32).reshape(1, 1, 2, 3)
    x_adv = np.array([-3.0, 0.2, 300.0, 254.7, 1.0, 2.0], np.float32).reshape(1, 1, 2, 3)
    _, inside = drawn(tmp_path / 'p.png', x, x_adv, [True], lower=0, upper=255)
    assert inside[0].ravel().tolist() == [0, 10, 11, 255, 128, 7]
    assert inside[1].ravel().tolist() == [0, 0, 255, 255, 1, 2]


def test_other_pixel_ranges_reach_from_black_to_full(tmp_path):
    x = np.array([-1.0, 0.0, 1.0], np.float32).reshape(1, 1, 3, 1)
    _, inside = drawn(tmp_path / 'p.png', x, x, [True], lower=-1.0, upper=1.0)
    assert inside[0, 0, 0, :, 0].tolist() == [0, 128, 255]


def test_frames_tell_which_images_are_robust(tmp_path):
    x = np.zeros((3, 2, 2, 1), np.float32)
    rows, _ = drawn(tmp_path / 'p.png', x, x, [True, False, True], lower=0, upper=1)
    for tile, colour in zip(rows[1], (BLUE, ORANGE, BLUE), strict=True):
        ring = [tile[3, 3:-3], tile[-4, 3:-3], tile[3:-3, 5], tile[3:-3, -6]]
        assert {tuple(pixel) for pixel in np.concatenate(ring)} == {colour}
        outside = [tile[2], tile[-3], tile[:, 0], tile[:, -1]]
        assert {tuple(pixel) for pixel in np.concatenate(outside)} == {WHITE}
    assert {tuple(pixel) for pixel in rows[0, :, :MARGIN].reshape(-1, 3)} == {WHITE}


def test_a_word_above_says_that_images_are_drawn(tmp_path):
    for n in (1, 12):  # the word may be wider than the images
        x = np.zeros((n, 2, 2, 1), np.float32)
        pictures = []
        for is_drawn in (False, True):
            path = tmp_path / f'{n} {is_drawn}.png'
            write_pairs(path, x, x, np.ones(n, bool), lower=0, upper=1, drawn=is_drawn)
            pictures.append(tf.io.decode_png(path.read_bytes()).numpy())
        plain, marked = pictures
        strip = len(marked) - len(plain)
        np.testing.assert_array_equal(marked[strip:, : plain.shape[1]], plain)
        assert (marked[strip:, plain.shape[1] :] == 255).all()
        ink = (marked[:strip] < 255).all(axis=2)
        assert ink.sum() > 100
        assert not ink[0].any() and not ink[-1].any()  # white around it


@pytest.mark.parametrize('n', [1, 10])
def test_nothing_is_left_beside_the_picture(tmp_path, n):
    x = np.zeros((n, 2, 2, 3), np.float32)
    write_pairs(tmp_path / 'p.png', x, x, np.ones(n, bool), lower=0, upper=1)
    assert [path.name for path in tmp_path.iterdir()] == ['p.png']
