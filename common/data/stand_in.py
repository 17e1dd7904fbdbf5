"""Drawn stand-ins for data sets: which images a split has, whatever is drawn on them."""

from collections.abc import Callable

import numpy as np

# A chunk has a random stream of its own and is always drawn whole: that makes any number of
# images a prefix of any larger number. A multiple of the classes, so that each chunk is balanced.
CHUNK_SIZE = 500
_STREAMS = {'train': 0, 'test': 1}


def draw_split(
    split: str,
    num_examples: int | None,
    defaults: dict[str, int],
    draw_chunk: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a split.

    Args:
        split: 'train' or 'test', which come from different random streams.
        num_examples: how many images; None for the default number. There is no upper limit.
        defaults: split -> the default number.
        draw_chunk: (random stream, number of the chunk) -> images [CHUNK_SIZE, ...] uint8 and
            labels [CHUNK_SIZE] uint8, which depend on nothing else.

    Returns:
        Images [num_examples, ...] uint8 and labels [num_examples] uint8.

    Raises:
        ValueError: another split, or a negative number.
    """
    if split not in _STREAMS:
        raise ValueError(f'unknown split {split!r}; expected one of: {", ".join(sorted(_STREAMS))}')
    if num_examples is None:
        num_examples = defaults[split]
    if num_examples < 0:
        raise ValueError(f'expected num_examples >= 0, found {num_examples}')
    # For no images at all one chunk is drawn too: it tells their shape.
    chunks = [draw_chunk(_STREAMS[split], i) for i in range(max(-(-num_examples // CHUNK_SIZE), 1))]
    images, labels = (np.concatenate(parts)[:num_examples] for parts in zip(*chunks, strict=True))
    return images, labels
