"""Pictures of images and their adversarial versions, with nothing but TensorFlow's PNG encoder."""

import os

import numpy as np
import tensorflow as tf

from common.files import replacing

# Okabe and Ito's blue and orange, distinct for every kind of colour vision.
_BLUE, _ORANGE = (0, 114, 178), (230, 159, 0)
_SCALE, _FRAME, _GAP = 4, 3, 6
_DRAWN = (
    '    #                       ',
    '    #                       ',
    ' #### # ##  ###  #   # # ## ',
    '#   # ##       # #   # ##  #',
    '#   # #     #### # # # #   #',
    '#   # #    #   # # # # #   #',
    ' #### #     ####  # #  #   #',
)
_GREY, _DOT = (110, 110, 110), 3  # colour of the word, and pixels of the picture in one of its dots


def write_pairs(
    path: str | os.PathLike,
    x: np.ndarray,
    x_adv: np.ndarray,
    robust: np.ndarray,
    *,
    lower: float,
    upper: float,
    drawn: bool = False,
) -> None:
    """Writes a PNG: natural images in the upper row, adversarial ones below.

    Args:
        path: of the PNG file.
        x: [n, height, width, 1 or 3] natural images.
        x_adv: the same, adversarial.
        robust: [n] bool, which adversarial images get a blue frame; the others get an orange one.
        lower: the pixel value shown as black.
        upper: the pixel value shown as full.
        drawn: whether the images are a drawn stand-in; the picture then has the word above them.
    """
    white = np.full((len(x), 3), 255)
    frames = np.where(robust[:, None], _BLUE, _ORANGE)
    rows = [_row(_to_rgb(x, lower, upper), white), _row(_to_rgb(x_adv, lower, upper), frames)]
    if drawn:
        rows.insert(0, _word())
    width = max(row.shape[1] for row in rows)
    rows = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    picture = np.concatenate(rows, axis=0).astype(np.uint8)
    with replacing(path) as temporary:
        temporary.write_bytes(tf.io.encode_png(picture).numpy())


def _to_rgb(x: np.ndarray, lower: float, upper: float) -> np.ndarray:
    scaled = np.rint((np.clip(x, lower, upper) - lower) / (upper - lower) * 255)
    rgb = np.broadcast_to(scaled, (*x.shape[:3], 3))
    return rgb.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)


def _row(images: np.ndarray, frames: np.ndarray) -> np.ndarray:
    _, height, width, _ = images.shape
    tiles = np.tile(frames[:, None, None], (1, height + 2 * _FRAME, width + 2 * _FRAME, 1))
    tiles[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = images
    gap = _GAP // 2, _GAP // 2
    tiles = np.pad(tiles, ((0, 0), gap, gap, (0, 0)), constant_values=255)
    return np.concatenate(list(tiles), axis=1)


def _word() -> np.ndarray:
    """The word 'drawn' on white: no font needs to be installed."""
    ink = np.array([list(line) for line in _DRAWN]) == '#'
    ink = np.pad(ink.repeat(_DOT, axis=0).repeat(_DOT, axis=1), _GAP)
    return np.where(ink[..., None], _GREY, 255)
