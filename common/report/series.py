"""Numbers to draw, without the library that draws them."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        name: in the legend.
        x: [k] numbers.
        y: [k] numbers.
        low: [k] lower ends of intervals; None for no band.
        high: [k] upper ends of intervals.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
