"""The paper's tables as exhibits."""

import dataclasses
from collections.abc import Sequence

from common.evaluation.rows import Row, strongest
from common.evaluation.verdict import records, stage_rows
from common.evaluation.worst_case import Judgement
from common.report.exhibit import Exhibit, Table

_ROUNDED = 0.0005  # published accuracies are rounded to a tenth of a percent


def table_exhibit(
    rows: Sequence[Row],
    *,
    key: str,
    title: str,
    command: str,
    setting: str,
    networks: dict[str, str],
    why: Sequence[str] = (),
    kinds: dict[str, str] | None = None,
) -> Exhibit:
    """A table of accuracies under attack, beside the paper's.

    Args:
        rows: of one target network, or of several.
        key: name of the exhibit.
        title: likewise.
        command: what was typed.
        setting: what the rows have in common.
        networks: name -> SHA-256 of the weights.
        why: sentences that explain differences from published numbers, where there are such.
        kinds: of black-box attacks, as for `strongest`.
    """
    marked, published = strongest(rows, kinds), _published(rows)
    return Exhibit(
        key=key,
        title=title,
        command=command,
        setting=setting,
        networks=networks,
        remarks=(*(_compared(rows, name) for name in published), *(why if published else ())),
        seconds=sum(row.seconds for row in rows),
        tables=(Table.of('', [_cells(row, row in marked) for row in rows]),),
        data=[row.as_json() for row in rows],
    )


def worst_case_exhibit(
    judgement: Judgement,
    *,
    key: str,
    title: str,
    command: str,
    setting: str,
    networks: dict[str, str],
) -> Exhibit:
    """What a cascade of attacks left of a network, stage by stage, and the checks of its honesty.

    Args:
        judgement: what it found.
        key: name of the exhibit.
        title: likewise.
        command: what was typed.
        setting: images and ball.
        networks: name -> SHA-256 of the weights.
    """
    row, verdict = judgement.row, judgement.verdict
    low, high = verdict.interval
    warnings = [check.name for check in judgement.checks if not check.passed]
    stages = {name: value for name, value in records(verdict).items() if name != 'images'}
    return Exhibit(
        key=key,
        title=title,
        command=command,
        setting=setting,
        networks=networks,
        remarks=(
            f'{verdict.accuracy:.2%} ({low:.2%} to {high:.2%}, n = {verdict.n:,}) of the images '
            f'stand under all attacks, which spent {verdict.spent}; plain PGD, the first of them, '
            f'leaves {verdict.after(1):.2%}.',
            f'Checks that warn: {", ".join(warnings)}. Those of more steps, more restarts, the '
            'score-based attack and transfer are about plain PGD; whether they break what stands '
            'under the whole cascade, "beyond the cascade" tells.'
            if warnings
            else 'None of the checks speaks against this number.',
        ),
        tables=(
            Table.of('', stage_rows(verdict)),
            Table(
                'Checks',
                ('check', 'found', 'result'),
                tuple(
                    (check.name, check.words, 'ok' if check.passed else 'WARNING')
                    for check in judgement.checks
                ),
            ),
        ),
        seconds=row.seconds,
        data={
            'row': row.as_json(),
            **stages,
            'checks': [dataclasses.asdict(check) for check in judgement.checks],
        },
    )


def _published(rows: Sequence[Row]) -> list[str]:
    """Headings of the columns of published numbers that have any."""
    names = dict.fromkeys(name for row in rows for name in row.papers)
    return [name for name in names if any(row.papers.get(name) is not None for row in rows)]


def _cells(row: Row, marked: bool) -> dict[str, object]:
    low, high = row.interval
    return {
        'method': row.method,
        'steps': row.steps,
        'restarts': row.restarts,
        'source': row.source,
        'target': row.target,
        'accuracy': f'{row.accuracy:.2%}',
        '95% interval': f'{low:.2%} to {high:.2%}',
        'n': f'{row.n:,}',
        **{name: None if value is None else f'{value:.1%}' for name, value in row.papers.items()},
        'strongest of its kind': 'yes' if marked else '',
    }


def _compared(rows: Sequence[Row], name: str) -> str:
    """How many rows lie beside a column of published numbers, which are rounded to a tenth."""
    known = [(row, row.papers[name]) for row in rows if row.papers.get(name) is not None]
    higher = sum(row.interval[0] > paper + _ROUNDED for row, paper in known)
    lower = sum(row.interval[1] < paper - _ROUNDED for row, paper in known)
    return (
        f'Beside the column {name!r}: {higher} of {len(known)} rows lie above, {lower} below, '
        f'and {len(known) - higher - lower} agree within the 95% interval.'
    )
