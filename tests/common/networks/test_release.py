"""Releasing a trained network: its files, its record, and results that are added to it."""

import json
import pathlib
import re
import shutil
import types

import pytest

from common.errors import UserError
from common.files import sha256
from common.networks.registry import Networks, Origin, manifest
from common.networks.release import add_results, release
from common.programs import cli
from common.programs import release as release_program

RECORD = {'command': 'python -m some.train', 'commit': 'abc1234', 'machine': 'a machine'}
CONFIG = {'seed': 3, 'batch_size': 100, 'dataset': 'letters'}
ORIGINS = {
    'A': Origin('in one run', (('--fast',),)),
    'B': Origin('in two', (('--fast', '--seed=1'), ('--slow',))),
}
LOG = (
    'step,examples_per_second,loss_adv\n'
    '0,,2.3\n'
    '100,50,1.0\n'  # 200 s for 100 steps of 100
    '150,100,0.5\n'  # 50 s for 50
    '150,,\n'
)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'last.weights.h5').write_bytes(b'some weights')
    (folder / 'config.json').write_text(json.dumps(CONFIG))
    (folder / 'log.csv').write_text(LOG)
    return folder


@pytest.fixture
def released(tmp_path):
    folder = tmp_path / 'released'
    (folder / 'letters').mkdir(parents=True)
    return folder


def row(accuracy, **changes):
    return {
        'method': 'pgd',
        'steps': 40,
        'restarts': 1,
        'step_size': 0.01,
        'source': 'A',
        'target': 'A',
        'epsilon': 0.3,
        'accuracy': accuracy,
        'n': 1000,
        **changes,
    }


class Letters(Networks):
    """The networks of a data set, whose weights files end in the word 'weights'."""

    def __init__(self, released):
        super().__init__('letters', None, [], None, ORIGINS, released)

    def load(self, reference):
        if not pathlib.Path(reference).read_bytes().endswith(b'weights'):
            raise UserError(f'{reference} holds no weights')


def put(run, released, name='A'):
    release(Letters(released), name, [run], 'last.weights.h5', RECORD)
    return manifest(released)['letters'][name]


def add(released, rows, *attack_dtype):
    add_results(Letters(released), 'A', rows, *attack_dtype)


def test_weights_and_log_are_copied_and_recorded(run, released):
    entry = put(run, released)
    assert (released / entry['file']).read_bytes() == b'some weights'
    assert (released / entry['logs'][0]).read_text() == LOG
    assert entry['sha256'] == sha256(released / entry['file'])
    assert {key: entry[key] for key in RECORD} == RECORD
    assert (entry['seed'], entry['training_seconds'], entry['results']) == (3, 250, [])


def test_a_training_in_stages(run, released, tmp_path):
    last = tmp_path / 'last'
    shutil.copytree(run, last)
    (last / 'last.weights.h5').write_bytes(b'fine-tuned')
    (last / 'config.json').write_text(
        json.dumps({**CONFIG, 'init_from': str(run / 'last.weights.h5')})
    )
    release(Letters(released), 'A', [run, last], 'last.weights.h5', RECORD)
    entry = manifest(released)['letters']['A']
    assert (released / entry['file']).read_bytes() == b'fine-tuned'
    assert entry['logs'] == ['letters/A.stage1.log.csv', 'letters/A.stage2.log.csv']
    assert all((released / log).read_text() == LOG for log in entry['logs'])
    assert entry['training_seconds'] == 500
    assert entry['config']['init_from'] == 'models/stage1'  # no path of the maintainer's machine


def test_other_networks_stay(run, released):
    first = put(run, released)
    (run / 'last.weights.h5').write_bytes(b'others')
    put(run, released, 'B')
    assert manifest(released)['letters']['A'] == first
    assert set(manifest(released)['letters']) == {'A', 'B'}


def test_a_row_measured_again_replaces_the_old_one_only(run, released):
    put(run, released)
    add(released, [row(0.9), row(0.8, steps=100)])
    add(released, [row(0.7)], 'bfloat16')
    assert manifest(released)['letters']['A']['results'] == [
        row(0.7, attack_dtype='bfloat16'),
        row(0.8, steps=100, attack_dtype='float32'),
    ]


def test_cascades_of_two_presets_are_two_attacks(run, released):
    put(run, released)
    add(released, [row(0.5, method='worst_case', preset='standard')])
    add(released, [row(0.6, method='worst_case', preset='quick')])
    results = manifest(released)['letters']['A']['results']
    assert [(result['preset'], result['accuracy']) for result in results] == [
        ('standard', 0.5),
        ('quick', 0.6),
    ]


def test_rows_of_other_networks_are_left_out(run, released):
    put(run, released)
    add(released, [row(0.9), row(0.1, target='A_nat')])
    assert [r['target'] for r in manifest(released)['letters']['A']['results']] == ['A']
    with pytest.raises(UserError, match='expected results of A; found none'):
        add(released, [row(0.1, target='A_nat')])


@pytest.mark.parametrize('name', ['last.weights.h5', 'config.json', 'log.csv'])
def test_an_incomplete_run_is_refused(run, released, name):
    (run / name).unlink()
    with pytest.raises(UserError, match=f'expected .*{name}; found none'):
        put(run, released)
    assert not list((released / 'letters').iterdir())


def test_large_weights_are_refused(run, released):
    (run / 'last.weights.h5').write_bytes(bytes(15_000_001))
    with pytest.raises(UserError, match='expected at most 15,000,000 bytes; .* 15,000,001'):
        put(run, released)
    assert not list((released / 'letters').iterdir())


COMMON = ('--commit=abc1234', '--machine=a machine')


@pytest.fixture
def program(run_program, released):
    """Arguments -> exit status and standard error of a releasing program."""

    letters = types.SimpleNamespace(networks=Letters(released))
    module = types.SimpleNamespace(
        __name__='letters.release', main=cli.Door(release_program, letters)
    )

    def program(*arguments):
        status, _, error = run_program(module, *arguments)
        return status, error

    return program


def test_the_program_records_the_commands_of_all_stages(run, released, program):
    assert program('--name=A', f'--runs={run}', *COMMON) == (0, '')
    assert program('--name=B', f'--runs={run},{run}', *COMMON) == (0, '')
    entries = manifest(released)['letters']
    assert entries['A']['command'] == 'python -m letters.train --fast'
    assert entries['B']['command'] == (
        'python -m letters.train --fast --seed=1 --model_dir=models/stage1 && python -m '
        'letters.train --slow --init_from=models/stage1 --model_dir=models/stage2'
    )
    assert {key: entries['B'][key] for key in ('description', 'commit', 'machine')} == {
        'description': 'in two',
        'commit': 'abc1234',
        'machine': 'a machine',
    }


def test_the_program_adds_results(run, released, program, tmp_path):
    (tmp_path / 'rows.json').write_text(json.dumps({'rows': [row(0.5)]}))
    program(f'--runs={run}', *COMMON)
    assert program(f'--results={tmp_path / "rows.json"}', '--attack_dtype=bfloat16') == (0, '')
    assert manifest(released)['letters']['A']['results'] == [row(0.5, attack_dtype='bfloat16')]


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((), 'expected --runs or --results; found neither'),
        (('--runs=x',), 'expected --commit and --machine with --runs; found one of them empty'),
        (
            ('--name=B', '--runs=x', *COMMON),
            'expected --runs to name 2 folders, one for each stage of B; found 1.',
        ),
        (('--name=C',), '<A|B>'),
    ],
)
def test_the_program_refuses_what_it_cannot_use(released, program, arguments, message):
    status, error = program(*arguments)
    assert status and message in error and 'Traceback' not in error
    assert not list((released / 'letters').iterdir())


@pytest.mark.parametrize(
    'file, contents, message',
    [
        ('last.weights.h5', 'junk', 'holds no weights'),
        ('config.json', '{"seed": 3', 'expected the config.json of a training'),
        ('config.json', '{"seed": 3}', "found no 'dataset'|KeyError|dataset"),
        ('config.json', json.dumps({**CONFIG, 'dataset': 'drawn'}), 'found one on drawn ones'),
        ('log.csv', 'step\n0\n', 'expected the log of a training'),
        ('rows.json', '{"rows": [{"x": 1}]}', 'expected rows written by eval_attack'),
        ('rows.json', '{"rows": ["abc"]}', 'expected rows written by eval_attack'),
        ('rows.json', '{"rows": 3}', 'expected rows written by eval_attack'),
    ],
)
def test_what_is_damaged_leaves_the_release_before_as_it_was(
    run, released, program, tmp_path, file, contents, message
):
    assert program(f'--runs={run}', *COMMON) == (0, '')
    before = {path: path.read_bytes() for path in released.rglob('*') if path.is_file()}
    (run / 'rows.json').write_text(json.dumps({'rows': [row(0.5)]}))
    (run / 'last.weights.h5').write_bytes(b'other weights')
    (run / file).write_text(contents)
    status, error = program(f'--runs={run}', *COMMON, f'--results={run / "rows.json"}')
    assert status == 1 and re.search(message, error) and 'Traceback' not in error
    assert {path: path.read_bytes() for path in released.rglob('*') if path.is_file()} == before


def test_a_result_on_fewer_images_replaces_none(run, released):
    put(run, released)
    add(released, [row(0.9)])
    with pytest.raises(UserError, match='at least the 1,000 images .* found 20'):
        add(released, [row(0.8, n=20)])
    assert manifest(released)['letters']['A']['results'][0]['accuracy'] == 0.9
