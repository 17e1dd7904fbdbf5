"""Results as rows: to the terminal as a table, to a file as JSON."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from typing import Any

from common.evaluation.accuracy import Outcome
from common.files import write_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: an attack, its source and target networks, and the accuracy.

    Attributes:
        method: name of the attack; 'natural' for none.
        steps: gradient steps a restart; None where there are none.
        restarts: number of runs; None where there are none.
        step_size: in pixel units; None where the attack has no fixed one.
        source: the network whose gradients were followed; None for natural images.
        target: the network under evaluation.
        epsilon: radius of the ball, in pixel units.
        natural: accuracy of the target on the natural images, 0 to 1.
        accuracy: its accuracy on the adversarial ones, 0 to 1.
        n: number of images.
        interval: 95% interval of `accuracy` (Wilson).
        paper: the paper's accuracy for the same row, 0 to 1; None where it has none.
        seconds: wall time of attack and predictions.
        gradients: input gradients spent on all images.
        more_papers: heading -> accuracy, 0 to 1, of further published networks; None where one
            has no such row.
        preset: name of the cascade, where the attack is one.
    """

    method: str
    steps: int | None = None
    restarts: int | None = None
    step_size: float | None = None
    source: str | None = None
    target: str
    epsilon: float
    natural: float
    accuracy: float
    n: int
    interval: tuple[float, float]
    paper: float | None = None
    seconds: float
    gradients: int
    more_papers: dict[str, float | None] = dataclasses.field(default_factory=dict)
    preset: str | None = None

    @classmethod
    def of(cls, outcome: Outcome, **settings: Any) -> 'Row':
        """A row from an outcome; `settings` are the fields that the outcome lacks."""
        return cls(
            accuracy=outcome.accuracy,
            n=outcome.n,
            interval=outcome.interval,
            seconds=round(outcome.seconds, 3),
            gradients=outcome.gradients,
            **settings,
        )

    @property
    def papers(self) -> dict[str, float | None]:
        """All published numbers: heading -> accuracy, 0 to 1, or None."""
        return {'paper': self.paper, **self.more_papers}

    def as_json(self) -> dict[str, Any]:
        """Name -> value, with `more_papers` as keys of their own, and `preset` if there is one."""
        values = dataclasses.asdict(self)
        more_papers = values.pop('more_papers')
        if self.preset is None:
            del values['preset']
        return {**values, **more_papers}


def strongest(rows: Sequence[Row], kinds: dict[str, str] | None = None) -> list[Row]:
    """The rows with the least accuracy of each kind of attack on each target, as the paper marks.

    Args:
        rows: the rows of one table.
        kinds: name of a source -> the kind of black-box attack that follows its gradients; None
            makes each source a kind of its own. White box is always a kind of its own.

    Returns:
        The rows with the least accuracy of each kind, where another of that kind has more.
    """

    def kind(row: Row) -> tuple[str, str]:
        source = row.source or ''
        white_box = source == row.target
        return 'white box' if white_box else (kinds or {}).get(source, source), row.target

    attacks = [row for row in rows if row.source is not None]
    least: dict[tuple[str, str], float] = {}
    most: dict[tuple[str, str], float] = {}
    for row in attacks:
        least[kind(row)] = min(row.accuracy, least.get(kind(row), 1.0))
        most[kind(row)] = max(row.accuracy, most.get(kind(row), 0.0))
    return [row for row in attacks if row.accuracy == least[kind(row)] < most[kind(row)]]


def cells(rows: Sequence[Row], kinds: dict[str, str] | None = None) -> list[dict[str, str]]:
    """Heading -> cell of each row; the strongest attacks of each kind are marked, if there are any.

    Args:
        rows: the rows of one table.
        kinds: kinds of black-box attacks, as for `strongest`.
    """
    marked = strongest(rows, kinds)
    published = dict.fromkeys(name for row in rows for name in row.papers)
    return [
        {
            'method': row.method if row.preset is None else f'{row.method} ({row.preset})',
            'steps': _or_dash(row.steps),
            'restarts': _or_dash(row.restarts),
            'source': _or_dash(row.source),
            'target': row.target,
            'accuracy': f'{row.accuracy:.2%}',
            '95% interval': f'{row.interval[0]:.2%} to {row.interval[1]:.2%}',
            'n': f'{row.n:,}',
            **{name: _or_dash(row.papers.get(name), '.1%') for name in published},
            'seconds': f'{row.seconds:,.1f}',
            **({'strongest': 'yes' if row in marked else ''} if marked else {}),
        }
        for row in rows
    ]


def table(rows: Sequence[Row], kinds: dict[str, str] | None = None) -> str:
    """The `cells` as aligned text under headings."""
    if not rows:
        return 'no rows'
    shown = cells(rows, kinds)
    lines = [list(shown[0]), *(list(row.values()) for row in shown)]
    return aligned(lines, left=('method', 'source', 'target'))


def aligned(lines: Sequence[Sequence[str]], left: Collection[str]) -> str:
    """Cells as text in columns, with a rule below the headings.

    Args:
        lines: the headings, then the rows; all of the same length.
        left: headings of the columns that are aligned to the left; the others are to the right.
    """
    headings, *_ = lines
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        '  '.join(
            cell.ljust(width) if heading in left else cell.rjust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        )
        for line in lines
    ]
    return '\n'.join([text[0], '-' * len(text[0]), *text[1:]])


def write_rows(path: str | os.PathLike, rows: Sequence[Row]) -> None:
    """Writes {"rows": [...]} as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    write_json(path, {'rows': [row.as_json() for row in rows]})


def _or_dash(value: Any, form: str = '') -> str:
    return '-' if value is None else format(value, form)
