"""Intervals of measured accuracies."""

import math


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson 1927), which stays inside [0, 1].

    Args:
        successes: from 0 to `n`.
        n: trials, at least 1.

    Returns:
        Its lower and upper end, which include successes / n.
    """
    z = 1.959963984540054  # 97.5% quantile of the standard normal distribution
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Exact at 0 and at n, where rounding must not exclude the proportion itself.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high
