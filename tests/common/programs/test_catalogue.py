"""`python -m common`: every program of every package, in one line each."""

import re

from common.programs import catalogue

DATA_SET = 'from common.programs.data_set import DataSet\n'
DOOR = '"""Does {}.\n\nAt length.\n"""\nif __name__ == \'__main__\':\n    pass\n'


def test_lists_every_file_that_runs_as_a_program_and_nothing_else():
    listed = dict(catalogue.programs())
    files = [
        path.relative_to(catalogue.ROOT).with_suffix('')
        for folder in ('common', 'mnist', 'cifar10')
        for path in (catalogue.ROOT / folder).rglob('*.py')
        if re.search(r"^if __name__ == '__main__':", path.read_text(encoding='utf-8'), re.M)
    ]
    assert listed.keys() == {'.'.join(f.parts).removesuffix('.__main__') for f in files}
    assert {'common', 'common.report', 'mnist', 'mnist.train', 'cifar10.model'} <= listed.keys()
    assert all(words.endswith('.') and len(words) <= 100 for words in listed.values())


def test_new_programs_and_data_sets_are_found(tmp_path):
    for name, text in {
        'letters/data_set.py': DATA_SET,
        'letters/train.py': DOOR.format('train'),
        'letters/__main__.py': DOOR.format('start'),
        'common/evaluate.py': DOOR.format('evaluate'),
        'common/deep/below/__main__.py': DOOR.format('dig'),
        'strange/data_set.py': '',  # of another project
        'strange/train.py': DOOR.format('harm'),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(catalogue.programs(tmp_path)) == [
        ('letters', 'Does start.'),
        ('letters.train', 'Does train.'),
        ('common.deep.below', 'Does dig.'),
        ('common.evaluate', 'Does evaluate.'),
    ]


def test_prints_them(run_program):
    status, out, err = run_program(catalogue)
    assert (status, err) == (0, '')
    lines = {line.split()[2]: line for line in out.splitlines() if line.startswith('python -m ')}
    assert lines.keys() == dict(catalogue.programs()).keys()
    assert lines['common.report'].endswith(
        '  Collects all computed tables and figures in one report.'
    )
