"""Attacks as a program: one row as JSON, the table, and resuming after an interruption."""

import json
import os
import shutil

import numpy as np
import pytest

from common.attacks import PGD, CompiledAttack
from common.data import stand_in
from common.evaluation import sanity_checks
from common.evaluation.cascade import Stage, adversarial_accuracy
from common.evaluation.crafting import Crafting
from common.evaluation.worst_case import evaluate
from common.files import sha256
from common.networks import registry
from common.networks.logits import ModelLogits
from common.networks.weights import save_weights
from common.programs import eval_attack as program
from common.report.exhibit import read_all
from common.report.paper_table import PaperRow, PaperTable
from common.threat_model import LinfBall
from mnist import dataset, eval_attack, model

KEYS = {
    'method',
    'steps',
    'restarts',
    'step_size',
    'source',
    'target',
    'epsilon',
    'natural',
    'accuracy',
    'n',
    'interval',
    'paper',
    'seconds',
    'gradients',
}


@pytest.fixture(autouse=True, scope='module')
def _few_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, 'SIZES', {'test': 500})
        yield


def make_network(folder, seed):
    """A network fitted to the images in closed form, which is quick."""
    network = model.network_a((2, 4), 8, seed=seed)
    test = dataset.load('test', dataset='drawn')
    hidden = network.layers[-2].output
    features = model.keras.Model(network.inputs, hidden).predict(test.x, verbose=0)
    features = np.hstack([features, np.ones((len(test), 1))])
    weights = np.linalg.lstsq(features, np.eye(10)[test.y], rcond=None)[0]
    network.layers[-1].set_weights([weights[:-1], weights[-1]])
    save_weights(network, folder / 'last.weights.h5')
    (folder / 'config.json').write_text(
        json.dumps({'network': 'A', 'filters': [2, 4], 'hidden': 8, 'seed': seed})
    )


@pytest.fixture(scope='module')
def networks(tmp_path_factory, _few_images):
    folders = []
    for seed in (1, 2):
        folders.append(tmp_path_factory.mktemp('network'))
        make_network(folders[-1], seed)
    return [str(folder) for folder in folders]


@pytest.fixture
def attack(run_program, networks, tmp_path):
    """(*flags) -> (status, terminal output, error output, rows of the JSON file)."""

    def run(*arguments):
        path = tmp_path / 'rows.json'
        status, out, err = run_program(
            eval_attack,
            '--dataset=drawn',
            f'--target={networks[0]}',
            f'--source={networks[0]}',
            '--steps=3',
            '--step_size=0.02',
            '--epsilon=0.05',
            '--batch_size=30',
            '--num_examples=100',
            f'--json={path}',
            *arguments,
        )
        rows = json.loads(path.read_text()) if path.exists() else None
        return status, out, err, rows

    return run


def test_flags_that_a_method_has_no_use_for(attack):
    """Square has no step size; --steps is its number of queries, by default 5,000."""
    _, _, err, _ = attack('--method=square')
    assert err.startswith('warning: --method=square has no use for --step_size\n')
    assert 'warning' not in attack('--method=momentum')[2]


def test_square_by_default_asks_as_often_as_its_authors(networks, run_program, monkeypatch):
    asked = []
    monkeypatch.setattr(program.AttackTable, 'row', lambda self, *row: asked.append(row))
    monkeypatch.setattr(program, 'table', lambda *_: '')
    for flags in ([], ['--steps=7']):
        run_program(
            eval_attack,
            '--dataset=drawn',
            f'--target={networks[0]}',
            '--num_examples=10',
            f'--source={networks[0]}',
            '--method=square',
            *flags,
        )
    assert [steps for _, steps, *_ in asked] == [5000, 7]


def test_one_row(attack, networks, tmp_path):
    status, out, _, contents = attack()
    assert status == 0
    assert contents.keys() == {'rows'} and len(contents['rows']) == 1
    row = contents['rows'][0]
    assert row.keys() == KEYS
    test = dataset.load('test', dataset='drawn').subset(slice(100))
    network = ModelLogits(model.load(networks[0]))
    expected = adversarial_accuracy(
        PGD(LinfBall(0.05, 0.0, 1.0), 3, 0.02), network, network, test, crafting=Crafting(30)
    )
    assert 0 < expected.accuracy < row['natural']  # so the comparison means something
    natural = np.mean(np.argmax(network(test.x), axis=1) == test.y)
    assert row.pop('seconds') > 0
    assert row == {
        'method': 'pgd',
        'steps': 3,
        'restarts': 1,
        'step_size': 0.02,
        'source': networks[0],
        'target': networks[0],
        'epsilon': 0.05,
        'natural': natural,
        'n': 100,
        'paper': None,
        'accuracy': expected.accuracy,
        'interval': list(expected.interval),
        'gradients': 300,
    }
    assert f'{expected.accuracy:.2%}' in out and '100' in out
    assert os.listdir(tmp_path) == ['rows.json']  # nothing half-finished is left


def test_without_json_nothing_is_written(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert attack('--json=')[0] == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'flags, steps, restarts, step_size, gradients',
    [
        (['--method=fgsm'], 1, 1, 0.05, 1),
        (['--method=fgsm_rs'], 1, 1, 0.05, 1),
        (['--method=cw'], 3, 1, 0.02, 3),
        (['--method=cw+', '--steps=2'], 2, 1, 0.02, 2),
        (['--method=targeted', '--steps=1'], 1, 1, 0.02, 9),
        (['--steps=0'], 0, 1, 0.02, 0),
    ],
)
def test_methods(attack, flags, steps, restarts, step_size, gradients):
    row = attack(*flags)[3]['rows'][0]
    assert [row[k] for k in ('steps', 'restarts', 'step_size', 'gradients', 'n')] == [
        steps,
        restarts,
        step_size,
        100 * gradients,
        100,
    ]


def test_restarts_never_help_the_network(attack):
    once, thrice = (attack(f'--restarts={n}')[3]['rows'][0] for n in (1, 3))
    assert thrice['accuracy'] <= once['accuracy'] and thrice['natural'] == once['natural']
    # Images that are broken already are not attacked again.
    assert 100 * 3 < thrice['gradients'] < 100 * 3 * 3


def test_no_distance_no_change(attack):
    row = attack('--epsilon=0')[3]['rows'][0]
    assert row['accuracy'] == row['natural']


def test_another_networks_gradients_are_less_use(attack, networks):
    white = attack()[3]['rows'][0]
    black = attack(f'--source={networks[1]}')[3]['rows'][0]
    assert (black['source'], black['target']) == (networks[1], networks[0])
    assert black['natural'] == white['natural']
    assert white['accuracy'] < black['accuracy']


def test_num_examples(attack):
    assert attack('--num_examples=7')[3]['rows'][0]['n'] == 7
    assert attack('--num_examples=900')[3]['rows'][0]['n'] == 500
    assert attack('--num_examples=31')[3]['rows'][0]['gradients'] == 93  # the short batch too


def interrupt(monkeypatch, batches):
    """Ctrl-C after a number of batches have been attacked and classified."""
    # One batch at a time, so that it is the last one that is not attacked any more.
    monkeypatch.setattr('common.evaluation.concurrent_batches.workers', lambda: 1)
    original, calls = CompiledAttack.craft, []

    def attacked(*args, **kwargs):
        if len(calls) == batches:
            raise KeyboardInterrupt
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(CompiledAttack, 'craft', attacked)
    return calls


def comparable(contents):
    return [{k: v for k, v in row.items() if k != 'seconds'} for row in contents['rows']]


@pytest.mark.parametrize('flags, batches, left', [([], 3, 1), (['--restarts=3'], 5, None)])
def test_an_interrupted_attack_goes_on(attack, tmp_path, monkeypatch, flags, batches, left):
    whole = comparable(attack(*flags)[3])
    os.remove(tmp_path / 'rows.json')
    with monkeypatch.context() as patch:
        interrupt(patch, batches)
        status, _, err, rows = attack(*flags)
        assert (status, rows) == (130, None) and 'run the same command again' in err
    assert os.listdir(tmp_path) == ['rows.json.partial']
    with monkeypatch.context() as patch:
        calls = interrupt(patch, None)
        assert comparable(attack(*flags)[3]) == whole
        assert left is None or len(calls) == left
    assert os.listdir(tmp_path) == ['rows.json']


def test_what_another_attack_has_left_stays(attack, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        attack('--seed=1')
    left = os.listdir(tmp_path / 'rows.json.partial')
    assert attack()[0] == 0
    assert os.listdir(tmp_path / 'rows.json.partial') == left
    with monkeypatch.context() as patch:
        calls = interrupt(patch, None)
        assert attack('--seed=1')[0] == 0
    assert len(calls) == 1
    assert os.listdir(tmp_path) == ['rows.json']


def test_whoever_keeps_nothing_is_not_told_to_go_on(run_program, networks, monkeypatch):
    interrupt(monkeypatch, 1)
    status, _, err = run_program(
        eval_attack, '--dataset=drawn', f'--target={networks[0]}', f'--source={networks[0]}'
    )
    assert status == 130 and err.endswith('interrupted; nothing was kept\n')


def test_two_results_in_one_file_are_refused(run_program, networks, tmp_path):
    path = tmp_path / 'file'
    status, _, err = run_program(
        eval_attack,
        '--dataset=drawn',
        f'--target={networks[0]}',
        '--method=worst_case',
        f'--output={path}',
        f'--json={tmp_path}/./file',
    )
    assert status == 1 and 'expected two files at --output and --json' in err
    assert not path.exists()


@pytest.mark.parametrize(
    'flags, warns',
    [
        (['--steps=2'], True),
        (['--steps=2', '--step_size=0.5'], False),
        (['--steps=2', '--method=apgd'], False),
        (['--method=fgsm'], False),
    ],
)
def test_warns_of_steps_that_lead_nowhere(attack, flags, warns):
    assert ('cannot cross the ball' in attack('--epsilon=0.3', *flags)[2]) == warns


@pytest.mark.parametrize(
    'change', [['--epsilon=0.04'], ['--seed=1'], ['--every=2'], ['--attack_dtype=bfloat16']]
)
def test_what_was_left_by_another_attack_is_not_used(attack, tmp_path, monkeypatch, change):
    expected = comparable(attack(*change)[3])
    os.remove(tmp_path / 'rows.json')
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        assert attack()[0] == 130
    assert comparable(attack(*change)[3]) == expected


def test_the_table(run_program, networks, monkeypatch, tmp_path):
    few = (
        PaperRow('natural', 0, 1, 'A', 0.9),
        PaperRow('fgsm', 1, 1, 'A', 0.8),
        PaperRow('pgd', 4, 2, 'A', 0.7),
        PaperRow('pgd', 4, 1, 'B', 0.6),
        PaperRow('fgsm', 1, 1, 'A_nat', 0.1, target='A_nat'),
    )
    monkeypatch.setattr(registry, 'manifest', lambda *args: {})
    table = PaperTable(few, 0.3, 0.01, 'A')
    arguments = (
        '--dataset=drawn',
        '--table',
        f'--target={networks[0]}',
        '--step_size=0.02',
        '--epsilon=0.05',
        '--batch_size=30',
        '--num_examples=100',
        f'--output_dir={tmp_path}/report',
        f'--json={tmp_path}/rows.json',
    )
    status, out, err = run_program(eval_attack, *arguments, table=table)
    assert status == 0, err
    contents = json.loads((tmp_path / 'rows.json').read_text())
    assert 'pgd from B: left out, that network is not released' in out
    assert [
        [row[k] for k in ('method', 'steps', 'restarts', 'source', 'target')]
        for row in contents['rows']
    ] == [
        ['natural', None, None, None, networks[0]],
        ['fgsm', 1, 1, networks[0], networks[0]],
        ['pgd', 4, 2, networks[0], networks[0]],
    ]
    assert all(row.keys() == KEYS for row in contents['rows'])
    natural, fgsm, pgd = (row['accuracy'] for row in contents['rows'])
    assert natural == contents['rows'][0]['natural'] > fgsm > pgd
    (exhibit,) = read_all(tmp_path / 'report')
    assert exhibit.data == contents['rows'] and exhibit.networks.keys() == {networks[0]}
    assert [row[-1] for row in exhibit.tables[0].rows] == ['', '', 'yes']  # pgd is the strongest
    monkeypatch.setattr(CompiledAttack, 'craft', None)
    assert run_program(eval_attack, *arguments, table=table)[0] == 0
    again = json.loads((tmp_path / 'rows.json').read_text())
    assert comparable(again) == comparable(contents)


@pytest.fixture
def worst(run_program, networks, tmp_path, monkeypatch):
    """(*flags) -> (status, terminal output, error output) of a cascade that takes seconds."""

    def few(name, ball, *, steps, step_size, num_classes, others):
        assert (name, num_classes) == ('quick', 10) and 'A' in others
        return (
            Stage('pgd', PGD(ball, steps, step_size)),
            Stage('restarts', PGD(ball, steps, 2 * step_size), restarts=2),
            Stage('black box', PGD(ball, steps, step_size), source=networks[1]),
        )

    monkeypatch.setattr(program, 'preset', few)
    monkeypatch.setattr(
        program,
        'evaluate',
        lambda *arguments, others, **settings: evaluate(
            *arguments, others=[networks[1]], **settings
        ),
    )  # instead of the released networks

    def run(*arguments):
        return run_program(
            eval_attack,
            '--dataset=drawn',
            f'--target={networks[0]}',
            '--method=worst_case',
            '--preset=quick',
            '--steps=3',
            '--step_size=0.02',
            '--epsilon=0.05',
            '--batch_size=30',
            '--num_examples=100',
            f'--output_dir={tmp_path}/report',
            *arguments,
        )

    return run


def test_the_worst_case_and_its_examples(worst, attack, networks, tmp_path, monkeypatch):
    # Only two of the checks: all have their own tests and take long to compile.
    monkeypatch.setattr(
        'common.evaluation.worst_case.checks',
        lambda suspect, *, sources, survived: iter(
            [
                sanity_checks.randomized_outputs(suspect),
                *(
                    sanity_checks.transferred(suspect, suspect.survivors(suspect.pgd), name, source)
                    for name, source in sources
                ),
                sanity_checks.beyond(suspect, survived),
            ]
        ),
    )
    path = tmp_path / 'attack.npy'
    # A first stage that is too weak, so that the others fool more images.
    weak = ('--epsilon=0.02', '--steps=1', '--step_size=0.01')
    status, out, err = worst(f'--output={path}', f'--json={tmp_path}/worst.json', *weak)
    assert status == 0, err
    contents = json.loads((tmp_path / 'worst.json').read_text())
    (row,) = contents['rows']
    assert row.keys() == KEYS | {'preset'}
    assert (row['method'], row['preset']) == ('worst_case', 'quick')
    assert 'worst_case (quick)' in out
    spent = f'{row["gradients"]:,} gradients'
    assert f'{row["accuracy"]:.2%} survive after {spent} and ' in out
    pgd = attack(*weak)[3]['rows'][0]
    assert row['accuracy'] < pgd['accuracy'] == contents['stages'][0]['accuracy_after']
    x_adv, test = np.load(path), dataset.load('test', dataset='drawn').subset(slice(100))
    assert x_adv.shape == (100, 784) and x_adv.dtype == np.float32
    x_adv = x_adv.reshape(test.x.shape)
    assert LinfBall(0.02).contains(x_adv, test.x).numpy().all()
    right = np.argmax(model.load(networks[0])(x_adv), axis=1) == test.y
    assert right.mean() == row['accuracy']
    assert contents['images']['broken_by'].count(None) == right.sum()
    names = [check['name'] for check in contents['checks']]
    assert names == [
        'last restart of restarts',
        'randomized outputs',
        f'transfer from {networks[1]}',
        'beyond the cascade',
    ]
    assert all(f'{check["name"]}: {check["words"]}' in out for check in contents['checks'])
    (exhibit,) = read_all(tmp_path / 'report')  # for the report
    assert exhibit.key.startswith('mnist_worst_case') and 'drawn' in exhibit.title
    assert f'which spent {spent}' in exhibit.remarks[0]
    assert exhibit.data['row'] == row and exhibit.data['checks'] == contents['checks']
    assert [line[0] for line in exhibit.tables[0].rows] == ['pgd', 'restarts', 'black box']
    assert [line[2] for line in exhibit.tables[1].rows] == [
        'ok' if check['passed'] else 'WARNING' for check in contents['checks']
    ]


def test_an_interrupted_worst_case_goes_on_with_its_examples(worst, tmp_path, monkeypatch):
    monkeypatch.setattr(
        'common.evaluation.worst_case.checks', lambda *_, **__: iter(())
    )  # tried above
    whole, parts = tmp_path / 'whole.npy', tmp_path / 'parts.npy'
    assert worst(f'--output={whole}')[0] == 0
    shutil.rmtree(tmp_path / 'report')
    for batches in (2, 3):
        with monkeypatch.context() as patch:
            interrupt(patch, batches)
            status, _, err = worst(f'--output={parts}')
            assert status == 130 and 'run the same command again' in err
    assert not parts.exists()
    assert worst(f'--output={parts}')[0] == 0
    np.testing.assert_array_equal(np.load(parts), np.load(whole))
    # Without its images the record is of no use for a submission.
    for images in (tmp_path / 'report' / 'cache').glob('*.images'):
        images.write_bytes(b'damaged')
    assert worst(f'--output={parts}')[0] == 0
    np.testing.assert_array_equal(np.load(parts), np.load(whole))


def test_a_cut_file_of_examples_is_not_filled_with_zeros(worst, tmp_path, monkeypatch):
    monkeypatch.setattr('common.evaluation.worst_case.checks', lambda *_, **__: iter(()))
    assert worst(f'--output={tmp_path}/a.npy')[0] == 0
    (images,) = (tmp_path / 'report' / 'cache').glob('*.images')
    images.write_bytes(images.read_bytes()[:-5000])
    assert worst(f'--output={tmp_path}/b.npy')[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), np.load(tmp_path / 'b.npy'))


def test_examples_that_are_not_what_the_record_says_are_not_handed_out(
    worst, tmp_path, monkeypatch
):
    monkeypatch.setattr('common.evaluation.worst_case.checks', lambda *_, **__: iter(()))
    assert worst(f'--output={tmp_path}/a.npy')[0] == 0
    (images,) = (tmp_path / 'report' / 'cache').glob('*.images')
    np.lib.format.open_memmap(images, mode='r+')[:] = 0.5
    status, _, err = worst(f'--output={tmp_path}/b.npy')
    assert status == 1 and 'damaged or mixed' in err and not (tmp_path / 'b.npy').exists()


@pytest.mark.parametrize('flag', ['--epsilon=0', '--steps=0'])
def test_a_worst_case_needs_a_ball_and_steps(worst, flag):
    status, _, err = worst(flag)
    assert status == 1 and 'epsilon and steps above 0' in err


@pytest.mark.parametrize(
    'flags, words',
    [
        (['--method=worst_case', '--restarts=3'], '--restarts'),
        (['--method=worst_case', '--source=A'], '--source'),
        (['--output=attack.npy'], '--output'),
        (['--preset=quick'], '--preset'),
        (['--table', '--preset=quick'], '--preset'),
    ],
)
def test_flags_that_the_method_would_ignore(run_program, flags, words):
    status, _, err = run_program(eval_attack, '--dataset=drawn', *flags)
    assert status == 1 and words in err and 'Drop one or the other' in err


def refusal(attack, *arguments):
    status, _, err, rows = attack(*arguments)
    assert (status, rows) == (1, None)
    err = err.rpartition('\r')[2].lstrip()  # after the progress bar
    err = ''.join(line for line in err.splitlines(True) if not line.startswith('warning: '))
    assert err.startswith('error: ') and err.count('\n') == 1, err
    return err


@pytest.mark.parametrize(
    'flag',
    [
        '--epsilon=-0.1',
        '--epsilon=nan',
        '--steps=-1',
        '--step_size=-1',
        '--restarts=0',
        f'--steps={2**31}',
        f'--restarts={2**31}',
        '--method=autoattack',
        '--num_examples=0',
        '--batch_size=-5',
        '--attack_dtype=float16',
    ],
)
def test_wrong_values_of_flags(attack, flag):
    assert flag.split('=')[0].strip('-') in refusal(attack, flag)


@pytest.mark.parametrize('flags', [['--method=fgsm'], ['--norandom_start']])
def test_restarts_of_what_is_not_random(attack, flags):
    assert 'expected --restarts=1' in refusal(attack, '--restarts=2', *flags)


@pytest.mark.parametrize('flag', ['source', 'target'])
def test_networks_that_are_not_there(attack, tmp_path, flag):
    assert "there is no network 'no/such'" in refusal(attack, f'--{flag}=no/such')
    assert "there is no network ''" in refusal(attack, f'--{flag}=')  # an empty shell variable
    path = tmp_path / 'a.weights.h5'
    path.write_bytes(b'damaged')
    assert sha256(path) in refusal(attack, f'--{flag}={path}')


def test_a_place_where_nothing_can_be_written(attack, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    assert 'cannot write' in refusal(attack, f'--json={tmp_path / "file" / "rows.json"}')


def test_places_that_would_be_found_out_after_the_attack(attack, tmp_path, monkeypatch):
    def too_late(*_):
        pytest.fail('has begun')

    monkeypatch.setattr(CompiledAttack, 'craft', too_late)
    assert 'names a folder' in refusal(attack, f'--json={tmp_path}/new/')
    (tmp_path / 'rows.json.partial').write_text('mine')
    assert 'expected a folder' in refusal(attack)


@pytest.mark.parametrize(
    'flag, name', [('--table', 'table_1'), ('--method=worst_case', 'worst_case')]
)
def test_a_read_only_exhibit_is_refused_before_the_work(
    run_program, networks, tmp_path, monkeypatch, flag, name
):
    monkeypatch.setattr(program.as_typed, 'suffix', lambda: '')
    monkeypatch.setattr(program, '_attack_table', lambda _: pytest.fail('has begun'))
    path = tmp_path / f'mnist_{name}.exhibit.json'
    path.write_text('precious')
    path.chmod(0o444)
    status, _, err = run_program(eval_attack, flag, f'--output_dir={tmp_path}', '--dataset=drawn')
    assert status == 1 and f'{path}: the file is read-only' in err


def test_results_are_written_even_if_nobody_reads_what_is_printed(attack, monkeypatch):
    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr(program, 'table', gone)
    monkeypatch.setattr('common.programs.cli._write_no_more', lambda: None)
    status, _, _, rows = attack()
    assert status == 1 and len(rows['rows']) == 1


def test_help(run_program):
    status, out, _ = run_program(eval_attack, '--help')
    assert status == 0
    for flag in (
        'dataset',
        'epsilon',
        'steps',
        'source',
        'target',
        'method',
        '[no]table',
        'json',
        'restarts',
        'num_examples',
        'batch_size',
    ):
        assert f'--{flag}:' in out
