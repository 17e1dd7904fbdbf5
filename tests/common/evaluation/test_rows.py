"""Rows of results, as aligned text and as JSON."""

import dataclasses
import json

import numpy as np

from common.evaluation.accuracy import Outcome
from common.evaluation.rows import Row, strongest, table, write_rows
from common.statistics import wilson_interval

OUTCOME = Outcome(
    np.arange(1000) % 10 > 0, np.zeros(1000, int), loss=0.3, seconds=1234.56789, gradients=40_000
)
SETTINGS = {
    'method': 'pgd',
    'steps': 40,
    'restarts': 20,
    'step_size': 0.01,
    'source': 'A_prime',
    'target': 'A',
    'epsilon': 0.3,
    'natural': 0.988,
    'paper': 0.957,
}
NATURAL = SETTINGS | {
    'method': 'natural',
    'steps': None,
    'restarts': None,
    'step_size': None,
    'source': None,
    'paper': None,
}


def rows():
    return [Row.of(OUTCOME, **NATURAL), Row.of(OUTCOME, **SETTINGS)]


def test_a_row_takes_its_numbers_from_the_outcome():
    row = Row.of(OUTCOME, **SETTINGS)
    assert (row.accuracy, row.n, row.gradients) == (0.9, 1000, 40_000)
    assert row.interval == wilson_interval(900, 1000)
    assert row.seconds == 1234.568
    assert {name: getattr(row, name) for name in SETTINGS} == SETTINGS


def test_table_shows_every_row_under_its_heading():
    heading, rule, natural, attacked = table(rows()).splitlines()
    assert set(rule) == {'-'}
    assert attacked.split() == [
        'pgd',
        '40',
        '20',
        'A_prime',
        'A',
        '90.00%',
        '87.98%',
        'to',
        '91.71%',
        '1,000',
        '95.7%',
        '1,234.6',
    ]
    assert natural.split()[:5] == ['natural', '-', '-', '-', 'A']
    for name in (
        'method',
        'steps',
        'restarts',
        'source',
        'target',
        'accuracy',
        '95% interval',
        'n',
        'paper',
    ):
        assert name in heading


def test_table_is_aligned():
    wide = dataclasses.replace(rows()[1], source='models/a_rather_long_name', n=10_000)
    lines = table([*rows(), wide]).splitlines()
    assert len({len(line) for line in lines}) == 1
    heading = lines[0]
    for line in lines[2:]:
        # Words begin, numbers end where their heading does.
        assert line[heading.index('source') - 1] == ' ' != line[heading.index('source')]
        end = heading.index('accuracy') + len('accuracy')
        assert line[end - 1] == '%' and line[end] == ' '


def test_the_strongest_attack_of_each_source_is_marked():
    natural, attacked = rows()
    weak = dataclasses.replace(attacked, method='fgsm', accuracy=0.95)
    other = dataclasses.replace(attacked, source='A', accuracy=0.97)  # the only one of its source
    assert strongest([natural, weak, attacked, other]) == [attacked]
    heading, _, *lines = table([natural, weak, attacked, other]).splitlines()
    assert heading.endswith('strongest')
    assert [line.endswith('yes') for line in lines] == [False, False, True, False]


def test_sources_of_one_kind_are_marked_together_and_white_box_apart():
    _, row = rows()
    made = [
        dataclasses.replace(row, source=source, target='A', accuracy=accuracy)
        for source, accuracy in (
            ('A', 0.5),
            ('A', 0.4),
            ('A_prime', 0.7),
            ('A_nat', 0.8),
            ('A_nat', 0.9),
            ('B', 0.6),
            ('B', 0.6),
        )
    ]
    assert strongest(made, {'A_prime': 'black box', 'A_nat': 'black box'}) == [made[1], made[2]]
    assert strongest(made) == [made[1], made[3]]


def test_all_that_leave_least_are_marked():
    _, row = rows()
    made = [dataclasses.replace(row, accuracy=accuracy) for accuracy in (0.4, 0.9, 0.4)]
    assert strongest(made) == [made[0], made[2]]


def test_table_without_rows_says_so():
    assert table([]) == 'no rows'


def test_rows_come_back_from_json(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'rows.json'
    write_rows(path, rows())
    stored = json.loads(path.read_text())
    assert list(stored) == ['rows'] and len(stored['rows']) == 2
    for row, back in zip(rows(), stored['rows'], strict=True):
        expected = dataclasses.asdict(row)
        assert expected.pop('more_papers') == {} and expected.pop('preset') is None
        assert expected == back | {'interval': tuple(back['interval'])}
    assert path.read_text().endswith('\n')


def test_further_published_networks_have_columns_and_keys_of_their_own(tmp_path):
    first, second = rows()
    first = dataclasses.replace(first, more_papers={'paper_simple': 0.437})
    lines = table([first, second]).splitlines()
    assert 'paper_simple' in lines[0].split()
    column = lines[0].index('paper_simple')
    assert [line[column:].split()[0] for line in lines[2:]] == ['43.7%', '-']
    write_rows(tmp_path / 'rows.json', [first, second])
    stored = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert stored[0]['paper_simple'] == 0.437
    assert 'more_papers' not in stored[0] and 'paper_simple' not in stored[1]
