"""Coloured shapes and patterns drawn by arithmetic: a stand-in for CIFAR-10 without a download.

A class is a shape or a pattern, whatever its place, size, tilt and colours. As with the objects of
CIFAR-10, mirroring an image or shifting it by a few pixels leaves its class alone, so training may
augment the drawn images just as the real ones.

The drawn images serve to try the programs and to test them; accuracies on them say nothing about
CIFAR-10.
"""

from collections.abc import Callable

import numpy as np

from common.data.stand_in import CHUNK_SIZE, draw_split

IMAGE_SIZE = 32
DEFAULT_NUM_EXAMPLES = {'train': 10_000, 'test': 2_000}

_SEED = 1706_06083  # The paper, arXiv 1706.06083.

# Bounds of the uniform random style of an image.
_STYLE = {
    'size': (7.0, 11.0),  # about half the width of a shape, in pixels; patterns scale with it
    'shift_x': (-4.0, 4.0),  # of the shape's middle from the image's, in pixels
    'shift_y': (-4.0, 4.0),
    'turn': (-1.0, 1.0),  # the sign is the direction, the rest the place in the class's tilts
    'edge': (0.9, 1.5),  # distance over which the colours change, in pixels
}
_CONTRAST = (80.0, 176.0)  # difference of the two colours in any channel
_UNEVENNESS = 24.0  # largest change of the background's colour at a corner of the image
_NOISE = 8.0  # largest change of a pixel in any channel


def _disc(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    return size - np.sqrt(x * x + y * y)


def _ring(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    return size * 0.25 - np.abs(_disc(x, y, size * 0.8))


def _square(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    return size * 0.9 - np.maximum(np.abs(x), np.abs(y))


def _triangle(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    # Three sides, 120 degrees apart, at the same distance from the middle; sin 60 = 0.8660254.
    return size * 0.6 - np.maximum(y, 0.8660254 * np.abs(x) - y / 2)


def _cross(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    narrow, long = size * 0.3, size * 1.1
    return np.minimum(narrow - np.minimum(x, y), long - np.maximum(x, y))


def _wave(x: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Pixels to the nearest multiple of the period, less a quarter period, which is the mean."""
    return np.abs(x - period * np.floor(x / period + 0.5)) - period / 4


def _stripes(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    return _wave(y, size * 0.75)


def _checkers(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    x, y = _wave(x, size), _wave(y, size)
    return np.maximum(np.minimum(x, y), -np.maximum(x, y))


def _dots(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    x, y = _wave(x, size) + size / 4, _wave(y, size) + size / 4
    return _disc(x, y, size * 0.3)


# Per class: (x, y, size) -> how many pixels inside the foreground a pixel lies (outside: negative),
# and the tangents of half the least and greatest tilt, to either side: every class is its own
# mirror image, so the diagonal stripes rise or fall.
_CLASSES: tuple[tuple[Callable[..., np.ndarray], tuple[float, float]], ...] = (
    (_disc, (0, 1)),
    (_ring, (0, 1)),
    (_square, (0, 1)),
    (_triangle, (0, 1)),
    (_cross, (0, 1)),
    (_checkers, (0, 1)),
    (_dots, (0, 1)),
    (_stripes, (0, 0.087)),  # horizontal: up to 10 degrees
    (_stripes, (0.315, 0.521)),  # diagonal: 35 to 55 degrees
    (_stripes, (0.839, 1.192)),  # vertical: 80 to 100 degrees
)


def draw(split: str, num_examples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draws the first images of a split, the same ones on every call and machine.

    Image i of a split does not depend on num_examples, and the two splits come from different
    random streams. Every 500 images hold each class 50 times, in random order.

    split: 'train' or 'test'.
    num_examples: how many images; None for 10,000 (train) or 2,000 (test). There is no upper limit.

    Returns images [num_examples, 32, 32, 3] uint8 in 0..255, and labels [num_examples] uint8.
    Raises ValueError for another split or a negative number.
    """
    return draw_split(split, num_examples, DEFAULT_NUM_EXAMPLES, _draw_chunk)


def _draw_chunk(stream: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [500, 32, 32, 3] uint8 and labels [500] uint8 of one chunk.

    Uniform numbers in float64 and + - * / sqrt are all that an image is made of: these are exact
    to the last bit everywhere, unlike sines, normal deviates and matrix products.
    """
    seed = np.random.SeedSequence(_SEED, spawn_key=(stream, chunk))
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.argsort(rng.random(CHUNK_SIZE), kind='stable') % len(_CLASSES)
    style = {name: _uniform(rng, low, high, 1, 1) for name, (low, high) in _STYLE.items()}
    cover = np.empty((CHUNK_SIZE, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for label, (depth, tilts) in enumerate(_CLASSES):
        rows = np.flatnonzero(labels == label)
        own_style = {name: values[rows] for name, values in style.items()}
        inside = depth(*_coordinates(tilts, own_style), own_style['size'])
        cover[rows] = (inside / own_style['edge'] + 0.5).clip(0, 1)
    return _paint(cover[..., None], rng), labels.astype(np.uint8)


def _uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    """Returns uniform random numbers [500, *shape] float32."""
    return (low + (high - low) * rng.random((CHUNK_SIZE, *shape))).astype(np.float32)


def _coordinates(
    tilts: tuple[float, float], style: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns every pixel's x and y [n, 32, 32] float32 from the shape's middle, along its axes.

    tilts: tangents of half the least and greatest tilt. style: [n, 1, 1] per name of _STYLE.
    """
    grid = np.arange(IMAGE_SIZE, dtype=np.float32) - (IMAGE_SIZE - 1) / 2
    x, y = grid[None, :] - style['shift_x'], grid[:, None] - style['shift_y']
    low, high = tilts
    # Sine and cosine from the tangent of half the angle, see _draw_chunk.
    tangent = (high - low) * style['turn'] + low * np.sign(style['turn'])
    cosine = (1 - tangent * tangent) / (1 + tangent * tangent)
    sine = 2 * tangent / (1 + tangent * tangent)
    return cosine * x - sine * y, sine * x + cosine * y


def _paint(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns images [500, 32, 32, 3] uint8 in colours that do not depend on the class.

    cover: [500, 32, 32, 1] float32, from 0 for the background to 1 for the foreground.
    """
    background = _uniform(rng, 0, 256, 1, 1, 3)
    # On a circle of 256 values: both colours are uniform, and 256 less a contrast is one, too.
    foreground = background + _uniform(rng, *_CONTRAST, 1, 1, 3)
    foreground = np.where(foreground < 256, foreground, foreground - 256)
    corners = _uniform(rng, -_UNEVENNESS, _UNEVENNESS, 4, 1, 1, 3)
    ramp = (np.arange(IMAGE_SIZE, dtype=np.float32) / (IMAGE_SIZE - 1))[:, None]
    left = background + corners[:, 0] + (corners[:, 1] - corners[:, 0]) * ramp[:, None]
    right = background + corners[:, 2] + (corners[:, 3] - corners[:, 2]) * ramp[:, None]
    images = left + (right - left) * ramp
    images += cover * (foreground - images)
    images += _uniform(rng, -_NOISE, _NOISE, IMAGE_SIZE, IMAGE_SIZE, 3)
    images += 0.5
    return images.clip(0, 255, out=images).astype(np.uint8)
