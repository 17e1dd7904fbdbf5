"""The parts of a report: tables and figures, each with all that a reader needs to judge it.

Programs that compute something for the report write an exhibit, and `python -m common.report`
gathers them.
"""

import dataclasses
import datetime
import json
import os
import pathlib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from common.errors import UserError, reason
from common.files import write_json
from common.report.claims import Claim
from common.statistics import Measured

SUFFIX = '.exhibit.json'

# A data set's exhibits in the paper's order; others come after these.
_ORDER = (
    'table',
    'worst',
    'figure',
    'landscape',
    'directions',
    'transfer',
    'epsilons',
    'convergence',
    'examples',
    'confusion',
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells as they are shown.

    Attributes:
        title: above the table; may be empty.
        columns: headings.
        rows: each with one cell a column, shown as `str` shows it.

    Raises:
        ValueError: a row has more cells, or fewer.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __post_init__(self):
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f'expected {len(self.columns)} cells in each row of {self.title!r}')

    @classmethod
    def of(cls, title: str, rows: list[dict[str, Any]]) -> 'Table':
        """A table from rows of heading -> value, in the first row's order; None becomes a dash."""
        columns = tuple(rows[0])
        return cls(
            title,
            columns,
            tuple(tuple('-' if row[c] is None else str(row[c]) for c in columns) for row in rows),
        )

    @classmethod
    def matrix(
        cls, title: str, columns: Sequence[str], rows: Mapping[str, Iterable[Any]]
    ) -> 'Table':
        """A table from name of a row -> its cells, which stand below the columns' names."""
        return cls.of(
            title,
            [{'': row, **dict(zip(columns, cells, strict=True))} for row, cells in rows.items()],
        )


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image file beside the exhibit.

    Attributes:
        file: its name.
        words: what it shows, for those who cannot see it.
    """

    file: str
    words: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        name: in the legend.
        x: [k] numbers, or names that are drawn at equal distances.
        y: [k] numbers.
        low: [k] lower ends of intervals; None for no band.
        high: [k] upper ends of intervals.
    """

    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    @classmethod
    def of(cls, name: str, x: Sequence, measured: Sequence[Measured]) -> 'Line':
        """A line of [k] numbers with their intervals as its band."""
        return cls(name, x, *zip(*measured, strict=True))


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """One table or figure of the report.

    Attributes:
        key: name of its files, which begins with the data set's; places it in the report.
        title: a line.
        command: what computed it, as typed.
        setting: what it was computed on: images and their number, ball, attack, budget.
        networks: name -> SHA-256 of the weights.
        claims: of the paper, beside what was measured.
        remarks: sentences for a reader.
        tables: numbers for reading.
        pictures: image files beside the exhibit.
        data: all numbers, for programs: anything that JSON can hold.
        seconds: wall time of the computation, without what was in the cache already.
        date: of the computation, as YYYY-MM-DD.
        versions: of the software.
    """

    key: str
    title: str
    command: str
    setting: str
    networks: dict[str, str]
    claims: tuple[Claim, ...] = ()
    remarks: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    data: Any = None
    seconds: float | int = 0.0
    date: str = dataclasses.field(default_factory=lambda: datetime.date.today().isoformat())
    versions: str = f'TensorFlow {tf.__version__}'

    def write(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes <key>.exhibit.json, in place of an older one.

        If the older one has the same numbers, they came from the cache: their date and seconds are
        kept, and the older pictures where none could be drawn now.

        Raises:
            UserError: the folder cannot be written.
        """
        path = pathlib.Path(folder) / f'{self.key}{SUFFIX}'
        write_json(path, dataclasses.asdict(self._beside(path)))
        return path

    def _beside(self, path: pathlib.Path) -> 'Exhibit':
        try:
            older = read(path)
        except UserError:
            return self
        for name in ('setting', 'networks', 'data'):
            if json.loads(json.dumps(getattr(self, name))) != getattr(older, name):
                return self
        there = tuple(p for p in older.pictures if (path.parent / p.file).exists())
        return dataclasses.replace(
            self,
            date=older.date,
            versions=older.versions,
            pictures=self.pictures or there,
            seconds=max(self.seconds, older.seconds),
        )


def read(path: pathlib.Path) -> Exhibit:
    """The exhibit in a file, which may be older than claims.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        return _decoded(Exhibit, json.loads(path.read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{path} is no exhibit ({reason(error)}). Remove it and run the command that writes it '
            'again.'
        ) from error


def _decoded(kind: Any, value: Any) -> Any:
    """A value of JSON as the kind that a field is annotated with; raises where it is another."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decoded(hints[name], part) for name, part in value.items()})
    if typing.get_origin(kind) is tuple:
        return tuple(_decoded(typing.get_args(kind)[0], part) for part in value)
    if typing.get_origin(kind) is dict:
        return {_decoded(str, name): _decoded(str, part) for name, part in value.items()}
    if kind is not Any and not isinstance(value, kind):
        raise TypeError(f'expected {kind}; found {value!r}')
    return value


def read_all(folder: str | os.PathLike) -> list[Exhibit]:
    """All exhibits of a folder, data set by data set, each in the paper's order.

    Raises:
        UserError: there are none, or one is damaged.
    """
    try:
        paths = sorted(pathlib.Path(folder).glob(f'*{SUFFIX}'), key=_place)
    except OSError:  # such as a name that is too long
        paths = []
    if not paths:
        raise UserError(
            f'expected a folder of exhibits (*{SUFFIX}); found none in {folder}. Name the '
            '--output_dir of the programs named figures, which compute some.'
        )
    return [read(path) for path in paths]


def _place(path: pathlib.Path) -> tuple[str, int, str]:
    data_set, _, rest = path.name.partition('_')
    kind = re.match('[a-z]*', rest).group()
    return data_set, [*_ORDER, kind].index(kind), rest
