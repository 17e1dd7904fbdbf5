"""README and docs/: whatever they name exists, and their numbers match the record."""

import importlib
import importlib.util
import json
import pathlib
import re

import pytest

from common.networks import registry

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / f'{name}.md' for name in ('README', 'CONTRIBUTING', 'CHANGELOG')]
PAGES += sorted((ROOT / 'docs').glob('*.md'))
EACH_PAGE = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
FOLDERS = 'common|mnist|cifar10|checkpoints|benchmarks|examples|tests|docs|report|results'
WRITTEN_LATER = {'report/cache', 'results', 'results/cache', 'results/report.html'}
OTHER_PROGRAMS = {'pip', 'pytest'}
OTHER_FLAGS = {'help', 'check'}


def read(path):
    return path.read_text(encoding='utf-8')


def anchors(path):
    """The anchors that GitHub makes from a page's headings."""
    headings = re.findall(r'^#+ (.*)$', read(path), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@EACH_PAGE
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)]*)\)', read(page)):
        if not target.startswith('https://'):
            path, _, anchor = target.partition('#')
            linked = (page.parent / path) if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@EACH_PAGE
def test_named_programs_and_modules_exist(page):
    text = read(page)
    programs = set(re.findall(r'python -m ([\w.]+\w)', text)) - OTHER_PROGRAMS
    for program in programs:
        spec = importlib.util.find_spec(program)
        assert spec, program
        if spec.submodule_search_locations:
            assert importlib.util.find_spec(f'{program}.__main__'), program
    # A changelog's first column has former names.
    for module in re.findall(r'`(common(?:\.\w+)+)`', re.sub(r'^\| `[^|]*', '', text, flags=re.M)):
        assert importlib.util.find_spec(module), module


@EACH_PAGE
def test_named_files_exist(page):
    named = set(re.findall(rf'(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w)', read(page)))
    assert [name for name in named - WRITTEN_LATER if not (ROOT / name).exists()] == []


@EACH_PAGE
def test_named_flags_exist(page):
    folders = ('common', 'mnist', 'cifar10', 'benchmarks')
    sources = ' '.join(read(path) for folder in folders for path in (ROOT / folder).rglob('*.py'))
    words = set(re.findall(r'\w+', sources))
    flags = set(re.findall(r'--([a-z0-9_]+)', read(page))) - OTHER_FLAGS
    assert [flag for flag in flags if not {flag, flag.removeprefix('no')} & words] == []


@EACH_PAGE
def test_lines_are_short_except_in_tables(page):
    lines = read(page).splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith('|')] == []


def test_imports_of_python_examples_work():
    examples = [
        example
        for page in PAGES
        for example in re.findall(r'```python\n(.*?)```', read(page), re.DOTALL)
    ]
    assert examples
    for example in examples:
        compile(example, 'example', 'exec')
        exec('\n'.join(re.findall(r'^(?:import|from) .*$', example, re.MULTILINE)), {})


def test_every_room_is_in_the_tree():
    rooms = {path.parent.name for path in (ROOT / 'common').glob('*/__init__.py')}
    assert [room for room in rooms if f'  {room}/ ' not in read(ROOT / 'CONTRIBUTING.md')] == []


def test_the_readme_is_short():
    assert len(read(ROOT / 'README.md').splitlines()) <= 170


def result_rows(page):
    """(data set, line) of every row of results; the data set's name is above its table."""
    data_set, rows = None, []
    for line in read(page).splitlines():
        if not line.startswith('|'):
            data_set = next(
                (name for name in ('MNIST', 'CIFAR-10') if re.match(rf'(## )?{name}\b', line)),
                data_set,
            )
        elif re.search(r'\d% \| .*% to ', line):
            rows.append((data_set, line))
    return rows


def test_results_of_the_readme_are_a_selection():
    rows = result_rows(ROOT / 'README.md')
    assert len(rows) == 16
    assert set(rows) <= set(result_rows(ROOT / 'docs' / 'results.md'))


def test_results_are_those_of_the_record():
    recorded = set()
    for data_set, entries in registry.manifest().items():
        for target, entry in entries.items():
            for row in entry['results']:
                low, high = row['interval']
                recorded.add(
                    (
                        *(data_set, target, row['method'], row['steps'], row['restarts']),
                        *(row['source'] if row['method'] != 'natural' else None,),
                        f'{row["accuracy"]:.2%} | {low:.2%} to {high:.2%} | {row["n"]:,}',
                    )
                )
    report = read(ROOT / 'report' / 'RESULTS.md')
    for data_set, line in result_rows(ROOT / 'docs' / 'results.md'):
        target, attack, source, *numbers = line.strip('| ').split(' | ')
        accuracy, interval, n = numbers[:3]
        if attack.startswith('worst case'):
            assert f'{accuracy} ({interval}, n = {n})' in report, line
            continue
        method, steps, restarts = re.match(r'(\w+)(?:-(\d+))?(?: x (\d+))?', attack).groups()
        method = method.lower()
        steps = None if method == 'natural' else int(steps or 1)
        restarts = None if method == 'natural' else int(restarts or 1)
        source = None if source == '-' else source
        key = (data_set.lower().replace('-', ''), target, method, steps, restarts, source)
        assert (*key, ' | '.join(numbers[:3])) in recorded, line


def test_the_page_about_scaling_shows_its_record(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    scaling = importlib.import_module('scaling')
    record = json.loads(read(ROOT / 'docs/scaling.json'))
    page = read(ROOT / 'docs/scaling.md')
    assert scaling.with_tables(page, record) == page
    # What is derived follows from the cascade as it is today.
    assert json.loads(json.dumps(scaling.imagenet())) == record['imagenet']
    expected = record['imagenet']['expected']
    hours, survivor = expected['hours']['TF32']['1'], expected['gradients_of_a_survivor']
    passes = 2 * expected['gradients'] + expected['queries']
    assert hours == pytest.approx(passes / (3 * 938) / 3600, rel=0.01)
    assert expected['gradients'] == 17_500 * survivor + 32_500 * 20
