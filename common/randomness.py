"""Seeds derived from seeds."""

import numpy as np


def layer_seeds(seed: int, count: int) -> list[int]:
    """Unrelated seeds for the layers of a network.

    `seed + i` would give layers of two networks with nearby seeds equal weights.

    Args:
        seed: of the network; at least 0.
        count: how many.

    Returns:
        Integers in 0 to 2**31 - 1.
    """
    return [int(s) >> 1 for s in np.random.SeedSequence(seed).generate_state(count)]
