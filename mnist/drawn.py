"""Handwritten-looking digits drawn by arithmetic: a stand-in for MNIST that needs no download.

Every digit has a few glyphs: points in a unit box and the strokes that join them. An image takes
a glyph, moves its points a little, bends smooth curves through them, slants, rotates, stretches
and shifts the result, and draws it with a pen of random width. As in MNIST the ink is white on a
background of exactly 0, and the digit fills about 20 x 20 pixels near the middle of 28 x 28.

The drawn digits serve to try the programs and to test them; accuracies on them say nothing about
MNIST.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.data.stand_in import CHUNK_SIZE, draw_split

IMAGE_SIZE = 28
NUM_CLASSES = 10
DEFAULT_NUM_EXAMPLES = {'train': 12_000, 'test': 2_000}

_SEED = 1706_06083  # The paper, arXiv 1706.06083.
_SEGMENTS_PER_SPAN = 3

# Bounds of the uniform random style of an image.
_STYLE = {
    'stretch': (0.70, 1.05),  # width over height, before the slant
    'slant': (-0.15, 0.45),  # shift of the top to the right, in heights
    'half_angle': (-0.09, 0.09),  # tangent of half the rotation: about 10 degrees either way
    'box': (18.0, 21.0),  # longer side of the digit, ink included, in pixels
    'shift_x': (-1.5, 1.5),  # of the digit's middle from the image's, in pixels
    'shift_y': (-1.5, 1.5),
    'radius': (0.9, 1.7),  # half the width of the pen, in pixels
    'edge': (0.9, 1.3),  # distance over which the ink fades out, in pixels
}
_JITTER = 0.06  # largest move of a point along x and along y, in unit boxes

_Point = tuple[float, float]


@dataclass(frozen=True)
class _Glyph:
    """One way to write a digit.

    points: (x, y) in the unit box, x to the right and y downwards.
    strokes: each the indices of the points it passes through, in order. Two points make a straight
        line, more a smooth curve; a stroke that ends where it began is a smooth loop.
    """

    points: tuple[_Point, ...]
    strokes: tuple[tuple[int, ...], ...]

    @cached_property
    def curves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per stroke: indices [samples, 4] int64 and weights [samples, 4] float32 of its samples.

        A sample of the curve is the weighted sum of the four points; consecutive samples are the
        ends of one straight segment.
        """
        return [_catmull_rom(stroke) for stroke in self.strokes]


def _catmull_rom(stroke: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and weights [samples, 4] of the Catmull-Rom spline through the points."""
    if len(stroke) == 2:
        # A straight line needs its two ends only.
        return np.array([[i] * 4 for i in stroke]), np.full((2, 4), 0.25, np.float32)
    closed = stroke[0] == stroke[-1]
    before = stroke[-2] if closed else stroke[0]
    after = stroke[1] if closed else stroke[-1]
    padded = (before, *stroke, after)
    indices, weights = [], []
    spans = len(stroke) - 1
    for span in range(spans):
        steps = _SEGMENTS_PER_SPAN + (span == spans - 1)
        for t in np.arange(steps) / _SEGMENTS_PER_SPAN:
            indices.append(padded[span : span + 4])
            # Products, since powers may round differently from machine to machine.
            t2, t3 = t * t, t * t * t
            weights.append(
                [
                    (-t + 2 * t2 - t3) / 2,
                    (2 - 5 * t2 + 3 * t3) / 2,
                    (t + 4 * t2 - 3 * t3) / 2,
                    (t3 - t2) / 2,
                ]
            )
    return np.array(indices), np.array(weights, np.float32)


_GLYPHS: dict[int, tuple[_Glyph, ...]] = {
    0: (
        _Glyph(
            ((0.5, 0), (0.85, 0.2), (0.9, 0.55), (0.7, 0.95), (0.35, 1), (0.1, 0.65), (0.15, 0.25)),
            ((0, 1, 2, 3, 4, 5, 6, 0),),
        ),
        _Glyph(
            (
                (0.62, 0.03),
                (0.2, 0.2),
                (0.08, 0.6),
                (0.45, 1),
                (0.9, 0.65),
                (0.78, 0.15),
                (0.4, 0.08),
            ),
            ((0, 1, 2, 3, 4, 5, 6),),
        ),
    ),
    1: (
        _Glyph(((0.5, 0), (0.5, 0.5), (0.5, 1)), ((0, 1, 2),)),
        _Glyph(((0.3, 0.2), (0.55, 0), (0.55, 0.5), (0.55, 1)), ((0, 1), (1, 2, 3))),
        _Glyph(
            ((0.3, 0.2), (0.55, 0), (0.55, 1), (0.25, 1), (0.85, 1)),
            ((0, 1), (1, 2), (3, 2), (2, 4)),
        ),
    ),
    2: (
        _Glyph(
            ((0.1, 0.22), (0.45, 0), (0.85, 0.25), (0.55, 0.62), (0.08, 1), (0.92, 0.97)),
            ((0, 1, 2, 3, 4), (4, 5)),
        ),
        _Glyph(
            (
                (0.12, 0.2),
                (0.5, 0),
                (0.85, 0.25),
                (0.55, 0.68),
                (0.2, 0.98),
                (0.06, 0.84),
                (0.28, 0.78),
                (0.6, 0.96),
                (0.98, 0.9),
            ),
            ((0, 1, 2, 3, 4, 5, 6, 7, 8),),
        ),
    ),
    3: (
        _Glyph(
            (
                (0.12, 0.12),
                (0.5, 0),
                (0.82, 0.2),
                (0.42, 0.46),
                (0.88, 0.7),
                (0.5, 1),
                (0.08, 0.88),
            ),
            ((0, 1, 2, 3), (3, 4, 5, 6)),
        ),
        _Glyph(
            ((0.12, 0.04), (0.85, 0.03), (0.42, 0.4), (0.88, 0.68), (0.5, 1), (0.08, 0.88)),
            ((0, 1), (1, 2), (2, 3, 4, 5)),
        ),
    ),
    4: (
        _Glyph(
            ((0.18, 0), (0.1, 0.5), (0.95, 0.5), (0.8, 0.05), (0.75, 0.5), (0.7, 1)),
            ((0, 1), (1, 2), (3, 4, 5)),
        ),
        _Glyph(((0.68, 0), (0.05, 0.65), (0.98, 0.65), (0.66, 1)), ((0, 1), (1, 2), (0, 3))),
    ),
    5: (
        _Glyph(
            (
                (0.9, 0.02),
                (0.25, 0.03),
                (0.18, 0.44),
                (0.58, 0.38),
                (0.88, 0.68),
                (0.52, 1),
                (0.06, 0.9),
            ),
            ((0, 1), (1, 2), (2, 3, 4, 5, 6)),
        ),
        _Glyph(
            ((0.95, 0), (0.3, 0.06), (0.24, 0.38), (0.7, 0.58), (0.62, 0.94), (0.06, 0.96)),
            ((0, 1), (1, 2, 3, 4, 5)),
        ),
    ),
    6: (
        _Glyph(
            ((0.72, 0), (0.3, 0.3), (0.12, 0.7), (0.45, 1), (0.85, 0.76), (0.52, 0.52)),
            ((0, 1, 2, 3, 4, 5, 2),),
        ),
        _Glyph(
            ((0.35, 0), (0.16, 0.4), (0.14, 0.8), (0.5, 1), (0.86, 0.78), (0.55, 0.56)),
            ((0, 1, 2, 3, 4, 5, 2),),
        ),
    ),
    7: (
        _Glyph(((0.08, 0.06), (0.92, 0.03), (0.58, 0.5), (0.4, 1)), ((0, 1), (1, 2, 3))),
        _Glyph(
            ((0.08, 0.06), (0.92, 0.03), (0.58, 0.5), (0.42, 1), (0.25, 0.54), (0.85, 0.5)),
            ((0, 1), (1, 2, 3), (4, 5)),
        ),
    ),
    8: (
        _Glyph(
            ((0.5, 0), (0.16, 0.2), (0.5, 0.47), (0.88, 0.76), (0.5, 1), (0.12, 0.76), (0.84, 0.2)),
            ((0, 1, 2, 3, 4, 5, 2, 6, 0),),
        ),
        _Glyph(
            ((0.48, 0), (0.2, 0.22), (0.5, 0.45), (0.8, 0.22), (0.9, 0.72), (0.5, 1), (0.1, 0.72)),
            ((0, 1, 2, 3, 0), (2, 4, 5, 6, 2)),
        ),
    ),
    9: (
        _Glyph(
            ((0.5, 0), (0.12, 0.24), (0.42, 0.5), (0.82, 0.24), (0.8, 0.62), (0.68, 1)),
            ((0, 1, 2, 3, 0), (3, 4, 5)),
        ),
        _Glyph(
            (
                (0.5, 0),
                (0.12, 0.24),
                (0.42, 0.5),
                (0.82, 0.24),
                (0.84, 0.66),
                (0.55, 1),
                (0.15, 0.92),
            ),
            ((0, 1, 2, 3, 0), (3, 4, 5, 6)),
        ),
    ),
}
_MAX_POINTS = max(len(glyph.points) for glyphs in _GLYPHS.values() for glyph in glyphs)


def draw(split: str, num_examples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draws the first images of a split, the same ones on every call and machine.

    Image i of a split does not depend on num_examples, and the two splits come from different
    random streams. Every 500 images hold each digit 50 times, in random order.

    split: 'train' or 'test'.
    num_examples: how many images; None for 12,000 (train) or 2,000 (test). There is no upper limit.

    Returns images [num_examples, 28, 28, 1] uint8 in 0..255, and labels [num_examples] uint8.
    Raises ValueError for another split or a negative number.
    """
    return draw_split(split, num_examples, DEFAULT_NUM_EXAMPLES, _draw_chunk)


def _draw_chunk(stream: int, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [500, 28, 28, 1] uint8 and labels [500] uint8 of one chunk.

    Uniform numbers and + - * / sqrt are all that an image is made of: these are exact to the last
    bit everywhere, unlike sines, normal deviates and matrix products.
    """
    seed = np.random.SeedSequence(_SEED, spawn_key=(stream, chunk))
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = np.argsort(rng.random(CHUNK_SIZE), kind='stable') % NUM_CLASSES
    choice = rng.random(CHUNK_SIZE)
    style = {
        name: (low + (high - low) * rng.random(CHUNK_SIZE)).astype(np.float32)
        for name, (low, high) in _STYLE.items()
    }
    jitter = _JITTER * (2 * rng.random((CHUNK_SIZE, _MAX_POINTS, 2)) - 1)
    images = np.empty((CHUNK_SIZE, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for digit, glyphs in _GLYPHS.items():
        variant = (choice * len(glyphs)).astype(np.int64)
        for number, glyph in enumerate(glyphs):
            rows = np.flatnonzero((labels == digit) & (variant == number))
            own_style = {name: values[rows, None] for name, values in style.items()}
            starts, ends = _trace(glyph, jitter[rows], own_style)
            images[rows] = _render(starts, ends, own_style['radius'], own_style['edge'])
    return images[..., None], labels.astype(np.uint8)


def _trace(
    glyph: _Glyph, jitter: np.ndarray, style: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the segments' starts and ends, each [n, segments, 2] float32 in pixels.

    jitter: [n, points or more, 2], in unit boxes. style: [n, 1] float32 per name of _STYLE.
    """
    points = np.array(glyph.points, np.float32) + jitter[:, : len(glyph.points)].astype(np.float32)
    points = _transform(points, style)
    strokes = []
    for indices, weights in glyph.curves:
        corners = [points[:, indices[:, k]] * weights[:, k, None] for k in range(4)]
        strokes.append(corners[0] + corners[1] + corners[2] + corners[3])
    lengths = [stroke.shape[1] for stroke in strokes]
    samples = _place(np.concatenate(strokes, axis=1), style)
    strokes = np.split(samples, np.cumsum(lengths)[:-1], axis=1)
    starts = np.concatenate([stroke[:, :-1] for stroke in strokes], axis=1)
    ends = np.concatenate([stroke[:, 1:] for stroke in strokes], axis=1)
    return starts, ends


def _transform(points: np.ndarray, style: dict[str, np.ndarray]) -> np.ndarray:
    """Stretches, slants and rotates points [n, points, 2] about the middle of the unit box."""
    x, y = points[..., 0] - np.float32(0.5), points[..., 1] - np.float32(0.5)
    x = x * style['stretch'] - y * style['slant']
    # Sine and cosine from the tangent of half the angle, see _draw_chunk.
    tangent = style['half_angle']
    cosine = (1 - tangent * tangent) / (1 + tangent * tangent)
    sine = 2 * tangent / (1 + tangent * tangent)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def _place(samples: np.ndarray, style: dict[str, np.ndarray]) -> np.ndarray:
    """Scales and shifts curves [n, samples, 2] to the style's box; returns pixels."""
    low, high = samples.min(axis=1), samples.max(axis=1)
    longer_side = (high - low).max(axis=1, keepdims=True)
    scale = (style['box'] - 2 * style['radius']) / longer_side
    shift = np.concatenate([style['shift_x'], style['shift_y']], axis=1)
    middle = (IMAGE_SIZE - 1) / np.float32(2) + shift
    offset = samples - ((low + high) / 2)[:, None]
    return offset * scale[:, None] + middle[:, None]


def _render(
    starts: np.ndarray, ends: np.ndarray, radius: np.ndarray, edge: np.ndarray
) -> np.ndarray:
    """Draws segments with a round pen; returns images [n, 28, 28] uint8.

    starts, ends: [n, segments, 2] float32, in pixels. radius, edge: [n, 1] float32, in pixels; the
    ink falls from 255 to 0 linearly over `edge` pixels around the distance `radius`.
    """
    grid = np.arange(IMAGE_SIZE, dtype=np.float32)
    nearest = np.full((len(starts), IMAGE_SIZE, IMAGE_SIZE), np.inf, np.float32)
    for segment in range(starts.shape[1]):
        start = starts[:, segment, :, None]
        along = ends[:, segment, :, None] - start
        np.minimum(nearest, _squared_distance(grid - start, along), out=nearest)
    distance = np.sqrt(nearest, out=nearest)
    ink = (radius[..., None] - distance) / edge[..., None] + np.float32(0.5)
    return (255 * ink.clip(0, 1) + np.float32(0.5)).astype(np.uint8)


def _squared_distance(from_start: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Returns the squared distances [n, 28, 28] of all pixels to one segment per image.

    from_start: [n, 2, 28], the pixels' x and y less the segment's start. along: [n, 2, 1], the
    segment's end less its start.
    """
    x, y = from_start[:, 0, None, :], from_start[:, 1, :, None]
    length = along[:, 0] * along[:, 0] + along[:, 1] * along[:, 1]
    unit = along / np.maximum(length, np.float32(1e-6))[:, None]
    # The position on the segment, 0 at its start and 1 at its end, is a sum of an x and a y part.
    position = x * unit[:, 0, None] + y * unit[:, 1, None]
    np.clip(position, 0, 1, out=position)
    off_x = x - position * along[:, 0, None]
    off_y = y - position * along[:, 1, None]
    off_x *= off_x
    off_y *= off_y
    off_x += off_y
    return off_x
