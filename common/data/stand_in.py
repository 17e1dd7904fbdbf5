"""Stand-ins for data sets, drawn by arithmetic: for trying and testing the software.

`collect` takes the painter of a data set; `draw` has one of its own, for images of any shape. It
gives each class a mosaic of 4 x 4 cells, which is its own mirror image; a cell is black or white in
each channel. An image shows the mosaic of its class blended with a little of another one, with some
noise, shifted by a few pixels on a black background, so mirroring and small shifts keep its class.
Under l-inf perturbations of 0.3 of the pixel range, about two thirds of the images can still be
distinguished: those with more than 0.8 of their own class in the blend, which keeps differing cells
at least 0.6 of the range apart.

Accuracies on drawn images say nothing about the data set they stand in for.
"""

import functools
from collections.abc import Callable

import numpy as np

from common.data.batches import Examples

Paint = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Draws some images by uniform random numbers.

Returns [n, height, width, channels] levels 0, 1, ... 255 and [n] labels. n is always the same and
holds each class equally often.
"""

SIZES = {'train': 10_000, 'test': 2_000}
"""Images of each split, unless a call says otherwise."""

_SEED = 1706_06083  # the paper, arXiv 1706.06083
_STREAMS = {'train': 0, 'test': 1}
_MOSAICS = 2  # another random stream
_CELLS = 4  # along each side
_CANDIDATES = 64
_SHARE = (0.7, 1.0)  # of an image's own class in the blend
_NOISE = 0.1  # largest change of a pixel, as a share of the range


def draw(
    split: str,
    *,
    instead_of: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    lower: float,
    upper: float,
    num_examples: int | None = None,
) -> Examples:
    """Draws the first images of a split as patterns, `collect`ed.

    Every `num_classes` images in a row hold each class once.

    Args:
        split: 'train' or 'test'.
        instead_of: the data set's name, for the examples' name.
        image_shape: (height, width, channels); at least 4 pixels high and wide.
        num_classes: at least 2.
        lower: smallest pixel value, that of the ground.
        upper: largest pixel value.
        num_examples: how many images, without an upper limit; None for those in `SIZES`.

    Raises:
        ValueError: another split, a negative number, too small images, or more classes than such
            images can show.
    """
    mosaics = _mosaics(image_shape, num_classes)
    return collect(
        functools.partial(_draw_chunk, mosaics=mosaics, image_shape=image_shape),
        split,
        motif='patterns',
        instead_of=instead_of,
        lower=lower,
        upper=upper,
        num_examples=num_examples,
    )


def collect(
    paint: Paint,
    split: str,
    *,
    motif: str,
    instead_of: str,
    lower: float,
    upper: float,
    num_examples: int | None = None,
) -> Examples:
    """The first images of a split by some painter, the same ones on every call and machine.

    Image i does not depend on `num_examples`, and the two splits come from different random
    streams.

    Args:
        paint: the painter; it must be exact to the last bit everywhere.
        split: 'train' or 'test'.
        motif: what it draws, for the examples' name, which is 'drawn digits (a stand-in, ...)'.
        instead_of: the data set's name, for the examples' name.
        lower: pixel value of level 0.
        upper: pixel value of level 255.
        num_examples: how many images, without an upper limit; None for those in `SIZES`.

    Returns:
        The examples; every pixel is one of 256 equally spaced values from `lower` to `upper`, as in
        images that are stored in bytes.

    Raises:
        ValueError: another split, or a negative number.
    """
    if split not in _STREAMS:
        raise ValueError(f'unknown split {split!r}; expected one of: {", ".join(sorted(_STREAMS))}')
    n = SIZES[split] if num_examples is None else num_examples
    if n < 0:
        raise ValueError(f'expected num_examples >= 0, found {n}')
    levels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    # A chunk has a random stream of its own and is always drawn whole, hence the prefixes.
    while not levels or len(levels) * len(levels[0]) < n:
        drawn, classes = paint(_generator(_STREAMS[split], len(levels)))
        levels.append(drawn.astype(np.uint8))
        labels.append(classes.astype(np.int32))
    x = np.concatenate(levels)[:n].astype(np.float32)
    x = np.float32(lower) + x * np.float32((upper - lower) / 255)
    np.clip(x, lower, upper, out=x)  # of rounding
    name = f'drawn {motif} (a stand-in, not {instead_of}) {split}'
    return Examples(x, np.concatenate(labels)[:n], name)


def _generator(*stream: int) -> np.random.Generator:
    # Its uniform numbers are all that is drawn: unlike its other methods, and unlike sines and
    # matrix products, they and + - * are exact to the last bit everywhere.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_SEED, spawn_key=stream)))


def _mosaics(image_shape: tuple[int, int, int], num_classes: int) -> np.ndarray:
    """[num_classes, 4, 4, channels] float64 of 0 and 1, as different as a few tries make them."""
    height, width, channels = image_shape
    if min(height, width) < _CELLS or num_classes < 2:
        raise ValueError(
            f'expected images of at least {_CELLS} x {_CELLS} pixels and 2 classes; found '
            f'{height} x {width} and {num_classes}'
        )
    rng = _generator(_MOSAICS)
    chosen = np.empty((0, _CELLS, _CELLS // 2, channels))
    for _ in range(num_classes):
        candidates = (rng.random((_CANDIDATES, *chosen.shape[1:])) < 0.5).astype(np.float64)
        apart = np.abs(candidates[:, None] - chosen).sum(axis=(2, 3, 4)).min(axis=1, initial=np.inf)
        if not apart.max():
            raise ValueError(f'expected fewer classes for {channels} channels; found {num_classes}')
        chosen = np.concatenate([chosen, candidates[[apart.argmax()]]])
    return np.concatenate([chosen, chosen[:, :, ::-1]], axis=2)


def _draw_chunk(
    rng: np.random.Generator, mosaics: np.ndarray, image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """An image of each class in random order: [n, *image_shape] in 0, 1, ... 255, and labels."""
    n, (height, width, _) = len(mosaics), image_shape
    labels = np.argsort(rng.random(n), kind='stable')
    others = (labels + 1 + (rng.random(n) * (n - 1)).astype(int)) % n
    low, high = _SHARE
    share = (low + (high - low) * rng.random(n))[:, None, None, None]
    blend = share * mosaics[labels] + (1 - share) * mosaics[others]
    margin = min(height, width) // 8
    row, row_inside = _cells(rng.random(n), height, margin)
    column, column_inside = _cells(rng.random(n), width, margin)
    image = blend[np.arange(n)[:, None, None], row[:, :, None], column[:, None, :]]
    image += _NOISE * (2 * rng.random(image.shape) - 1)
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    return np.rint(255 * image.clip(0, 1)) * inside[..., None], labels


def _cells(place: np.ndarray, length: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel along a side its cell, and whether it has one: [n, length] int64 and bool.

    Args:
        place: [n] in [0, 1): where the mosaic lies; at least a pixel of the ground stays on either
            side, if the margin has one.
        length: pixels along the side.
        margin: pixels of the ground on either side, before the mosaic is moved.
    """
    most = max(margin - 1, 0)
    shift = (place * (2 * most + 1)).astype(int) - most
    inner = length - 2 * margin
    pixel = np.arange(length) - margin - shift[:, None]
    return (pixel * _CELLS // inner).clip(0, _CELLS - 1), (pixel >= 0) & (pixel < inner)
