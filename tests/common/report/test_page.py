"""Exhibits on disk, and the report that collects them."""

import dataclasses
import html.parser
import json

import pytest

import common.report.page
from common.errors import UserError
from common.programs import report
from common.report.claims import Claim
from common.report.exhibit import Exhibit, Picture, Table, read, read_all

PNG = b'\x89PNG\r\n\x1a\n and so on'
EXHIBIT = Exhibit(
    key='digits_figure_1',
    title='Losses <&> "more"',
    command='python -m a.b --figure=1',
    setting='10 images',
    networks={'A_nat': '0123456789abcdef'},
    claims=(
        Claim('Losses <are> small.', 'section 3.1', '1.5 | less', None, '10 images', 'partly'),
        Claim('Nets | win.', 'figure 1', '90%', '80% to 95%', '20 images', 'reproduced'),
    ),
    remarks=('A_nat loses | more * than <A>.',),
    tables=(
        Table.of('Losses', [{'network': 'A_nat', 'loss': 1.5}, {'network': 'A', 'loss': None}]),
    ),
    pictures=(Picture('digits.png', 'a "histogram"'),),
    data={'losses': [1.5, None]},
    seconds=2.5,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'digits.png').write_bytes(PNG)
    EXHIBIT.write(tmp_path)
    dataclasses.replace(EXHIBIT, key='a_table', title='First', pictures=()).write(tmp_path)
    return tmp_path


def test_an_exhibit_comes_back_as_it_was_written(tmp_path):
    assert read(EXHIBIT.write(tmp_path)) == EXHIBIT


def test_exhibits_older_than_claims_are_read_and_shown(tmp_path):
    path = dataclasses.replace(EXHIBIT, pictures=()).write(tmp_path)
    values = json.loads(path.read_text())
    del values['claims']
    path.write_text(json.dumps(values))
    assert read(path) == dataclasses.replace(EXHIBIT, pictures=(), claims=())
    common.report.page.write_report(tmp_path, read_all(tmp_path))
    text = (tmp_path / 'RESULTS.md').read_text()
    assert 'Claims of the paper' not in text and r'A\_nat loses' in text


def test_numbers_from_the_cache_keep_the_date_and_time_that_they_took(folder):
    (folder / 'digits_figure_1.exhibit.json').unlink()
    older = dataclasses.replace(EXHIBIT, date='2001-02-03', seconds=3000.0, versions='old')
    path = older.write(folder)
    dataclasses.replace(EXHIBIT, pictures=(), remarks=('Said otherwise.',)).write(folder)
    assert read(path) == dataclasses.replace(older, remarks=('Said otherwise.',))
    (folder / 'digits.png').unlink()
    dataclasses.replace(EXHIBIT, pictures=()).write(folder)
    assert read(path).pictures == ()


@pytest.mark.parametrize(
    'change',
    [
        {'data': {'losses': [2.5, None]}},
        {'networks': {'A_nat': 'another'}},
        {'setting': '9 images'},
    ],
)
def test_other_numbers_have_a_date_of_their_own(folder, change):
    (folder / 'digits_figure_1.exhibit.json').unlink()
    dataclasses.replace(EXHIBIT, date='2001-02-03', seconds=3000.0).write(folder)
    newer = dataclasses.replace(EXHIBIT, pictures=(), **change)
    assert read(newer.write(folder)) == newer


@pytest.mark.parametrize(
    'change',
    [
        {'seconds': 'ten'},
        {'seconds': None},
        {'networks': ['A']},
        {'networks': {'A': 5}},
        {'title': 3},
        {'remarks': [None]},
        {'claims': 7},
        {'claims': [{'claim': 'x'}]},
        {'claims': [dataclasses.asdict(EXHIBIT.claims[0]) | {'measured': 1}]},
        {'claims': [dataclasses.asdict(EXHIBIT.claims[0]) | {'verdict': 'maybe'}]},
        {'remarks': 7},
        {'tables': {'title': 'x'}},
        {'tables': [{'title': 1, 'columns': ['a'], 'rows': []}]},
        {'tables': [{'title': 'x', 'columns': ['a', 'b'], 'rows': [['1']]}]},
        {'tables': [{'title': 'x', 'columns': ['a'], 'rows': [1]}]},
        {'pictures': ['a.png']},
        {'pictures': [{'file': 1, 'words': 'x'}]},
        {'date': 2026},
    ],
)
def test_fields_of_another_kind_are_refused(folder, change):
    path = folder / 'digits_figure_1.exhibit.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match='is no exhibit.*Remove it') as caught:
        common.report.page.write_report(folder, read_all(folder))
    assert '\n' not in str(caught.value)


def test_exhibits_come_in_the_papers_order(tmp_path):
    keys = [
        'digits_table_1',
        'digits_table_1_every_10',
        'digits_figure_1',
        'digits_figure_3',
        'digits_landscape',
        'digits_transfer',
        'digits_confusion',
        'digits_another',
        'faces_table_1',
        'faces_epsilons',
    ]
    for key in sorted(keys):
        dataclasses.replace(EXHIBIT, key=key, pictures=()).write(tmp_path)
    assert [exhibit.key for exhibit in read_all(tmp_path)] == keys


def test_a_folder_without_exhibits_is_an_error_that_tells_what_to_do(tmp_path):
    with pytest.raises(UserError, match='found none'):
        read_all(tmp_path)


@pytest.mark.parametrize('contents', ['', '{', '[]', '{"key": "a"}', '{"tables": [1]}'])
def test_a_damaged_exhibit_is_named(folder, contents):
    (folder / 'b.exhibit.json').write_text(contents)
    with pytest.raises(UserError, match='b.exhibit.json is no exhibit'):
        read_all(folder)


class Page(html.parser.HTMLParser):
    """Collects the text and what a browser would fetch; fails on mismatched tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.text, self.cells = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in ('meta', 'img', 'link'):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ('src', 'srcset')]
        self.fetched += [
            value for name, value in attributes if name == 'href' and not value.startswith('#')
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open[-1:] in (['td'], ['th']):
            self.cells.append(data)


def test_the_page_needs_no_other_file_and_shows_everything(folder, run_program):
    status, out, err = run_program(report, f'--output_dir={folder}')
    assert (status, err) == (0, '')
    assert '2 tables and figures' in out
    page = Page((folder / 'report.html').read_text(encoding='utf-8'))
    assert len(page.fetched) == 1 and page.fetched[0].startswith('data:image/png;base64,')
    words = ' '.join(page.text)
    for part in (EXHIBIT.title, EXHIBIT.command, EXHIBIT.remarks[0], '0123456789ab', 'First'):
        assert part in words
    claims = [*('claim', 'in the paper', 'measured', '95% interval or test', 'n', 'verdict')]
    claims += ['Losses <are> small.', 'section 3.1', '1.5 | less', '-', '10 images', 'partly']
    assert page.cells[:12] == claims
    assert page.cells[18:24] == ['network', 'loss', 'A_nat', '1.5', 'A', '-']


def test_markdown_keeps_names_and_cells_whole(folder, run_program):
    run_program(report, f'--output_dir={folder}')
    text = (folder / 'RESULTS.md').read_text(encoding='utf-8')
    assert r'A\_nat loses \| more \* than <A>.' in text
    assert '| Losses <are> small. | section 3.1 | 1.5 \\| less | - | 10 images | partly |' in text
    assert '| network | loss |\n| --- | --- |\n| A\\_nat | 1.5 |\n| A | - |' in text
    assert '(digits.png)' in text and '`python -m a.b --figure=1`' in text


def test_the_numbers_are_there_for_programs(folder, run_program):
    run_program(report, f'--output_dir={folder}')
    results = json.loads((folder / 'results.json').read_text())
    assert results[1]['data'] == {'losses': [1.5, None]}


def test_a_folder_that_cannot_be_is_an_error_without_a_traceback(run_program, tmp_path):
    status, _, err = run_program(report, f'--output_dir={tmp_path / ("x" * 300)}')
    assert status == 1 and err.startswith('error: ') and 'Traceback' not in err


def test_numbers_in_cells_are_shown(tmp_path, run_program):
    table = Table('', ('a', 'b'), ((7, 0.5),))
    dataclasses.replace(EXHIBIT, pictures=(), tables=(table,)).write(tmp_path)
    assert run_program(report, f'--output_dir={tmp_path}')[0] == 0
    assert '| 7 | 0.5 |' in (tmp_path / 'RESULTS.md').read_text()


def test_a_missing_picture_stops_it_before_anything_is_written(folder, run_program):
    (folder / 'digits.png').unlink()
    status, _, err = run_program(report, f'--output_dir={folder}')
    assert status == 1 and 'digits.png' in err and 'Traceback' not in err
    assert EXHIBIT.command in err  # which makes it again
    assert not (folder / 'report.html').exists() and not (folder / 'results.json').exists()


@pytest.mark.parametrize('name', ['results.json', 'RESULTS.md', 'report.html'])
def test_a_read_only_page_stops_it_before_anything_is_written(folder, run_program, name):
    (folder / name).write_text('precious')
    (folder / name).chmod(0o444)
    before = sorted(folder.iterdir())
    status, _, err = run_program(report, f'--output_dir={folder}')
    assert status == 1 and f'{name}: the file is read-only' in err
    assert sorted(folder.iterdir()) == before and (folder / name).read_text() == 'precious'
