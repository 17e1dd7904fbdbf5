"""The paper's tables as exhibits."""

import pathlib
from collections.abc import Sequence

from common.exhibits import Exhibit, Table
from common.rows import Row


def table_exhibit(
    rows: Sequence[Row], target: str, *, key: str, title: str, command: str, setting: str,
    networks: dict[str, str],
) -> Exhibit:
    """A table of accuracies under attack, beside the paper's.

    Args:
        rows: of one target network, or of several.
        target: the network that takes A's place.
        key: name of the exhibit; that of another network than A is added to it.
        title: likewise.
        command: what was typed.
        setting: what the rows have in common.
        networks: name -> SHA-256 of the weights.
    """
    strongest = _strongest(rows)
    variant = '' if target == 'A' else f'_{pathlib.Path(target).name}'
    return Exhibit(
        key=key + variant, title=title, command=command, setting=setting, networks=networks,
        remarks=_remarks(rows), seconds=sum(row.seconds for row in rows),
        tables=(Table.of('', [_cells(row, row in strongest) for row in rows]),),
        data=[row.as_json() for row in rows])


def _strongest(rows: Sequence[Row]) -> list[Row]:
    """The row with the least accuracy of each source and target, as the paper marks them."""
    groups = dict.fromkeys((row.source, row.target) for row in rows if row.source is not None)
    return [min((row for row in rows if (row.source, row.target) == group),
                key=lambda row: row.accuracy) for group in groups]


def _cells(row: Row, strongest: bool) -> dict[str, object]:
    low, high = row.interval
    papers = {'paper': row.paper, **row.more_papers}
    return {
        'method': row.method, 'steps': row.steps, 'restarts': row.restarts, 'source': row.source,
        'target': row.target, 'accuracy': f'{row.accuracy:.2%}',
        '95% interval': f'{low:.2%} to {high:.2%}', 'n': f'{row.n:,}',
        **{name: None if value is None else f'{value:.1%}' for name, value in papers.items()},
        'strongest of its source': 'yes' if strongest else ''}


def _remarks(rows: Sequence[Row]) -> tuple[str, ...]:
    compared = [row for row in rows if row.paper is not None]
    if not compared:
        return ()
    higher = sum(row.interval[0] > row.paper for row in compared)
    lower = sum(row.interval[1] < row.paper for row in compared)
    return (f"Of {len(compared)} rows that the paper has too, {higher} are above the paper's "
            f'number by more than the 95% interval, {lower} below it, and '
            f'{len(compared) - higher - lower} agree within it.',)
