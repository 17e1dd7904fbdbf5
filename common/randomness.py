"""Seeds made from seeds."""

import numpy as np


def layer_seeds(seed: int, count: int) -> list[int]:
    """Unrelated seeds; `seed + i` would give layers of networks with nearby seeds equal weights."""
    return [int(s) >> 1 for s in np.random.SeedSequence(seed).generate_state(count)]
