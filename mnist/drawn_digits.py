"""Digits drawn by arithmetic and prepared like MNIST's, so that its networks can read them.

Every digit has a few shapes, made of strokes. An image takes one, bends, slants and rotates it, and
draws it with a round pen of some width. The rest is what MNIST's authors did with scanned digits:
scaled to fit a box of 20 x 20 pixels, in shades of grey, and placed with its centre of mass in the
middle of 28 x 28 pixels.

Accuracies on drawn digits say nothing about MNIST.
"""

import numpy as np

_CHUNK = 500  # images; some of each shape share the work
_BOX, _SIZE = 20, 28
_MIDDLE = 14  # MNIST's rounded centres of mass, in pixels counted from 0
_SPANS = 3  # straight segments between two points of a curve

# A stroke is a smooth curve through points 'x,y' in percent of the digit's width and height, from
# the top left; two points are a line. Where strokes meet there is a corner, unless a stroke ends
# where it began, which makes a smooth loop.
_SHAPES = (
    (0, '50,0 85,20 90,55 70,95 35,100 10,65 15,25 50,0'),
    (0, '62,3 20,20 8,60 45,100 90,65 78,15 40,8'),
    (1, '50,0 50,100'),
    (1, '53,0 50,50 47,100'),
    (1, '36,16 55,0', '55,0 55,100'),
    (2, '10,22 45,0 85,25 55,62 8,100', '8,100 92,97'),
    (2, '12,20 50,0 85,25 55,68 20,98 6,84 28,78 60,96 98,90'),
    (3, '12,12 50,0 82,20 42,46', '42,46 88,70 50,100 8,88'),
    (3, '12,4 85,3', '85,3 42,40', '42,40 88,68 50,100 8,88'),
    (4, '18,0 10,50', '10,50 95,50', '80,5 75,50 70,100'),
    (4, '68,0 5,65', '5,65 98,65', '68,0 66,100'),
    (5, '90,2 25,3', '25,3 18,44', '18,44 58,38 88,68 52,100 6,90'),
    (5, '95,0 30,6', '30,6 24,38 70,58 62,94 6,96'),
    (6, '72,0 30,30 12,70 45,100 85,76 52,52 12,70'),
    (6, '35,0 16,40 14,80 50,100 86,78 55,56 14,80'),
    (7, '8,6 92,3', '92,3 58,50 40,100'),
    (7, '8,6 92,3', '92,3 58,50 42,100', '25,54 85,50'),
    (8, '50,0 16,20 50,47 88,76 50,100 12,76 50,47 84,20 50,0'),
    (8, '48,0 20,22 50,45 80,22 48,0', '50,45 90,72 50,100 10,72 50,45'),
    (9, '82,24 50,0 12,24 42,50 82,24', '82,24 80,62 68,100'),
    (9, '82,24 50,0 12,24 42,50 82,24', '82,24 84,66 55,100 15,92'),
)

# Bounds of the uniform random style of an image; lengths are in heights of a digit unless said.
_STYLE = {
    'width': (0.55, 1.0),
    'slant': (-0.15, 0.45),  # shift of the top to the right
    'half_angle': (-0.08, 0.08),  # tangent of half the rotation
    'bend_x': (-0.3, 0.3),  # of upright lines to the right, at both ends
    'wave_x': (-0.6, 0.6),  # of upright lines to the right, at the lower end alone
    'bend_y': (-0.3, 0.3),  # of level lines down, at both ends
    'taper': (-0.4, 0.4),  # growth of the width from top to bottom
    'pen': (0.8, 1.8),  # half the width of a line, in pixels
    'edge': (0.9, 1.5),  # over which its ink fades out, in pixels
}


def draw_chunk(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """500 images [n, 28, 28, 1] in 0, 1, ... 255, 50 of each digit in random order, and labels.

    Only operations that are exact to the last bit everywhere are used: + - * / and square roots.
    """
    labels = np.argsort(rng.random(_CHUNK), kind='stable') % 10
    first, count = np.searchsorted(_DIGITS, labels), np.bincount(_DIGITS)[labels]
    shape = first + (count * rng.random(_CHUNK)).astype(int)
    style = {
        name: (low + (high - low) * rng.random(_CHUNK)).astype(np.float32)
        for name, (low, high) in _STYLE.items()
    }
    segments = _fit(_move(_SEGMENTS[shape], style), style['pen'])
    return _centre(_ink(segments, style['pen'], style['edge']))[..., None], labels


def _segments(strokes: tuple[str, ...]) -> np.ndarray:
    """[segments, 2 ends, 2] float32 x and y from -0.5 to 0.5."""
    segments = []
    for stroke in strokes:
        points = np.array([point.split(',') for point in stroke.split()], np.float32) / 100 - 0.5
        line = points if len(points) == 2 else _curve(points)
        segments.append(np.stack([line[:-1], line[1:]], axis=1))
    return np.concatenate(segments)


def _curve(points: np.ndarray) -> np.ndarray:
    """The Catmull-Rom spline through [n, 2] points, as [3 n - 2, 2] points."""
    closed = (points[0] == points[-1]).all()
    before, after = (points[-2], points[1]) if closed else (points[0], points[-1])
    p = np.stack([before, *points, after])
    t = (np.arange(_SPANS, dtype=np.float32) / _SPANS)[:, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    bends = (2 * a - 5 * b + 4 * c - d) + (3 * (b - c) + d - a) * t
    spans = b + t * (c - a + t * bends) / 2
    return np.concatenate([spans.reshape(-1, 2), points[-1:]])


_DIGITS = np.array([digit for digit, *_ in _SHAPES])
_LINES = [_segments(strokes) for _, *strokes in _SHAPES]
_MOST = max(map(len, _LINES))
# [shapes, most segments, 2 ends, 2]; the last segment is repeated, which changes nothing.
_SEGMENTS = np.stack(
    [np.pad(lines, ((0, _MOST - len(lines)), *2 * [(0, 0)]), 'edge') for lines in _LINES]
)


def _move(segments: np.ndarray, style: dict[str, np.ndarray]) -> np.ndarray:
    """Bends, stretches, slants and rotates [n, segments, 2, 2] segments."""
    s = {name: values[:, None, None] for name, values in style.items()}
    x, y = segments[..., 0], segments[..., 1]
    x, y = (
        s['width'] * x * (1 + s['taper'] * y)
        + y * (y * (s['bend_x'] + s['wave_x'] * y) - s['slant']),
        y + s['bend_y'] * x * x,
    )
    # Sine and cosine from the tangent of half the angle.
    square = s['half_angle'] * s['half_angle']
    cosine, sine = (1 - square) / (1 + square), 2 * s['half_angle'] / (1 + square)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def _fit(segments: np.ndarray, pen: np.ndarray) -> np.ndarray:
    """Scales [n, segments, 2, 2] segments so that their ink fills the box; in pixels from 0."""
    low, high = segments.min(axis=(1, 2)), segments.max(axis=(1, 2))
    scale = (_BOX - 2 * pen) / (high - low).max(axis=1)
    middle = ((low + high) / 2)[:, None, None]
    return (segments - middle) * scale[:, None, None, None] + np.float32((_BOX - 1) / 2)


def _ink(segments: np.ndarray, pen: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Draws [n, segments, 2, 2] segments with a round pen: [n, 20, 20] int64 from 0 to 255."""
    pixel = np.arange(_BOX, dtype=np.float32)
    nearest = np.full((len(segments), _BOX, _BOX), np.inf, np.float32)
    for start, end in np.moveaxis(segments, 1, 0).swapaxes(1, 2)[..., None]:
        along = end - start  # [n, 2, 1], as start
        x, y = (pixel - start)[:, 0, None, :], (pixel - start)[:, 1, :, None]
        along_x, along_y = along[:, 0, None], along[:, 1, None]
        length = np.maximum(along_x * along_x + along_y * along_y, np.float32(1e-6))
        share = np.clip(x * (along_x / length) + y * (along_y / length), 0, 1)
        x, y = x - share * along_x, y - share * along_y
        np.minimum(nearest, x * x + y * y, out=nearest)
    dark = (pen[:, None, None] - np.sqrt(nearest)) / edge[:, None, None] + np.float32(0.5)
    return np.rint(255 * dark.clip(0, 1)).astype(np.int64)


def _centre(ink: np.ndarray) -> np.ndarray:
    """Places [n, 20, 20] images with their centre of mass in the middle of [n, 28, 28]."""
    pixel, total = np.arange(_BOX), ink.sum(axis=(1, 2))
    images = np.zeros((len(ink), _SIZE, _SIZE), ink.dtype)
    middles = ((ink.sum(axis=axis) * pixel).sum(axis=1) / total for axis in (2, 1))
    corners = (np.rint(_MIDDLE - middle).clip(0, _SIZE - _BOX) for middle in middles)
    row, column = (corner[:, None].astype(int) + pixel for corner in corners)
    images[np.arange(len(ink))[:, None, None], row[:, :, None], column[:, None]] = ink
    return images
