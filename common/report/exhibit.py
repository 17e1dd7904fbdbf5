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
from typing import Any

import tensorflow as tf

from common.errors import UserError, reason
from common.files import write_json
from common.report.claims import Claim

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
        rows: each with one cell a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, rows: list[dict[str, Any]]) -> 'Table':
        """A table from rows of heading -> value, in the first row's order; None becomes a dash."""
        columns = tuple(rows[0])
        return cls(
            title,
            columns,
            tuple(tuple('-' if row[c] is None else str(row[c]) for c in columns) for row in rows),
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
    seconds: float = 0.0
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
        if not path.exists():
            return self
        try:
            older = read(path)
        except UserError:
            return self
        same = all(
            json.loads(json.dumps(getattr(self, name)))
            == json.loads(json.dumps(getattr(older, name)))
            for name in ('setting', 'networks', 'data')
        )
        if not same:
            return self
        pictures = self.pictures or tuple(
            picture for picture in older.pictures if (path.parent / picture.file).exists()
        )
        return dataclasses.replace(
            self,
            date=older.date,
            versions=older.versions,
            pictures=pictures,
            seconds=max(self.seconds, older.seconds),
        )


def read(path: pathlib.Path) -> Exhibit:
    """The exhibit in a file, which may be older than claims.

    Raises:
        UserError: the file is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
        _require_kinds(values)
        values['tables'] = tuple(
            Table(t['title'], tuple(t['columns']), tuple(tuple(map(str, row)) for row in t['rows']))
            for t in values['tables']
        )
        values['pictures'] = tuple(Picture(**picture) for picture in values['pictures'])
        values['remarks'] = tuple(values['remarks'])
        values['claims'] = tuple(Claim(**claim) for claim in values.get('claims', ()))
        return Exhibit(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{path} is no exhibit ({reason(error)}). Remove it and run the command that writes it '
            'again.'
        ) from error


def _require_kinds(values: dict[str, Any]) -> None:
    """Raises TypeError unless an exhibit's JSON has texts, numbers and lists in their places."""
    tables, pictures = values['tables'], values['pictures']
    texts = [values[name] for name in ('key', 'title', 'command', 'setting', 'date', 'versions')]
    texts += [*values['networks'], *values['networks'].values(), *values['remarks']]
    texts += [text for t in tables for text in (t['title'], *t['columns'])]
    texts += [text for picture in pictures for text in (picture['file'], picture['words'])]
    texts += [
        text
        for claim in values.get('claims', ())
        for name, text in claim.items()
        if text is not None or name != 'interval'
    ]
    wrong = [text for text in texts if not isinstance(text, str)]
    wrong += [
        table['title']
        for table in tables
        for row in table['rows']
        if len(row) != len(table['columns'])
    ]
    if wrong or not isinstance(values['seconds'], int | float):
        raise TypeError(f'fields of an unexpected kind: {wrong or values["seconds"]!r}')


def read_all(folder: str | os.PathLike) -> list[Exhibit]:
    """All exhibits of a folder, data set by data set, each in the paper's order.

    Raises:
        UserError: there are none, or one is damaged.
    """
    try:
        paths = sorted(pathlib.Path(folder).glob(f'*{SUFFIX}'), key=lambda path: _place(path.name))
    except OSError as error:
        raise UserError(
            f'expected a folder of exhibits; found {folder} ({reason(error)}). Name '
            'the --output_dir of the programs named figures.'
        ) from error
    if not paths:
        raise UserError(
            f'expected exhibits (*{SUFFIX}) in {folder}; found none. Compute some '
            'first, with the programs named figures.'
        )
    return [read(path) for path in paths]


def _place(name: str) -> tuple[str, int, str]:
    data_set, _, rest = name.partition('_')
    kind = re.match('[a-z]*', rest).group()
    return data_set, _ORDER.index(kind) if kind in _ORDER else len(_ORDER), rest
