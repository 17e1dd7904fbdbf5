"""Which rows of a paper's table are measured, for the paper's own network and for another."""

import pytest

from common.report.paper_table import PaperRow, PaperTable

ROWS = PaperTable(
    (
        PaperRow('natural', 0, 1, 'A', 0.9),
        PaperRow('fgsm', 1, 1, 'A', 0.8),
        PaperRow('pgd', 7, 2, 'A', 0.7),
        PaperRow('pgd', 7, 1, 'A_nat', 0.6),
        PaperRow('cw', 7, 1, 'B', 0.5),
        PaperRow('fgsm', 1, 1, 'A_nat', None, target='A_nat'),
    ),
    epsilon=8.0,
    step_size=2.0,
    network='A',
)


class Recorder:
    """Takes the place of an AttackTable."""

    def __init__(self, target, asked):
        self.target, self.asked = target, asked

    def on(self, target):
        return Recorder(target, self.asked)

    def row(self, method, steps, restarts, source):
        self.asked.append((method, steps, restarts, source, self.target))
        return self.asked[-1]


def on(target, *rows):
    return [(*row, target) for row in rows]


NATURAL = ('natural', 0, 1, 'A')


@pytest.mark.parametrize(
    'target, released, expected',
    [
        (
            'A',
            ['A', 'A_nat', 'B'],
            [
                *on(
                    'A',
                    NATURAL,
                    ('fgsm', 1, 1, 'A'),
                    ('pgd', 7, 2, 'A'),
                    ('pgd', 7, 1, 'A_nat'),
                    ('cw', 7, 1, 'B'),
                ),
                *on('A_nat', ('fgsm', 1, 1, 'A_nat')),
            ],
        ),
        ('A', ['A'], on('A', NATURAL, ('fgsm', 1, 1, 'A'), ('pgd', 7, 2, 'A'))),
        (
            'mine',
            ['A', 'A_nat'],
            on(
                'mine',
                ('natural', 0, 1, 'mine'),
                ('fgsm', 1, 1, 'mine'),
                ('pgd', 7, 2, 'mine'),
                ('pgd', 7, 1, 'A_nat'),
            ),
        ),
        (
            'A_nat',
            ['A', 'A_nat', 'B'],
            on(
                'A_nat',
                ('natural', 0, 1, 'A_nat'),
                ('fgsm', 1, 1, 'A_nat'),
                ('pgd', 7, 2, 'A_nat'),
                ('cw', 7, 1, 'B'),
            ),
        ),
    ],
)
def test_rows_from_a_are_made_from_the_target(monkeypatch, capsys, target, released, expected):
    monkeypatch.setattr('common.report.paper_table.table', lambda rows: str(rows))
    recorder = Recorder(target, [])
    rows = ROWS.run(recorder, target, released)
    assert recorder.asked == rows == expected
    said = capsys.readouterr().out
    for source in {'A_nat', 'B'} - set(released):
        assert (f'from {source}: left out' in said) == (target == 'A' or source == 'B')


def test_a_quick_table_has_fewer_restarts(monkeypatch):
    monkeypatch.setattr('common.report.paper_table.table', str)
    for most, expected in ((1, {1}), (2, {1, 2}), (9, {1, 2}), (None, {1, 2})):
        rows = ROWS.run(Recorder('A', []), 'A', ['A', 'A_nat', 'B'], most)
        assert {restarts for _, _, restarts, *_ in rows} == expected
