"""A model folder holds one run: its config is written once, and compared every time."""

import dataclasses
import json
import os

import pytest

from common.errors import UserError
from common.training import run_folder
from common.training.config import TrainingConfig
from common.training.setting import setting


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    filters: tuple[int, ...] = setting('Widths.', (32, 64))


CONFIG = Config(
    dataset='x',
    seed=0,
    epsilon=0.3,
    steps=40,
    step_size=0.1,
    train_steps=5,
    learning_rate=0.1,
    optimizer='momentum',
    batch_size=4,
)


def test_a_new_folder_gets_the_config(tmp_path):
    folder = run_folder.prepare(tmp_path / 'models' / 'run', CONFIG)
    assert folder == tmp_path / 'models' / 'run'
    contents = json.loads((folder / 'config.json').read_text())
    assert contents == CONFIG.to_json() and contents['filters'] == [32, 64]
    assert os.listdir(folder) == ['config.json']


def test_the_same_config_goes_on(tmp_path):
    run_folder.prepare(tmp_path, CONFIG)
    assert run_folder.check(tmp_path, dataclasses.replace(CONFIG)) == tmp_path
    assert run_folder.prepare(tmp_path, CONFIG) == tmp_path


def test_check_writes_nothing(tmp_path):
    assert run_folder.check(tmp_path / 'run', CONFIG) == tmp_path / 'run'
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('act', [run_folder.check, run_folder.prepare])
@pytest.mark.parametrize(
    'change, shown',
    [
        ({'steps': 20}, 'steps: 40 there, 20 now'),
        ({'filters': (8, 16)}, 'filters: [32, 64] there, [8, 16] now'),
        ({'steps': 20, 'epsilon': 0.1}, 'epsilon: 0.3 there, 0.1 now; steps: 40 there, 20 now'),
    ],
)
def test_another_config_is_refused_with_the_difference(tmp_path, act, change, shown):
    run_folder.prepare(tmp_path, CONFIG)
    before = (tmp_path / 'config.json').read_bytes()
    with pytest.raises(UserError) as caught:
        act(tmp_path, dataclasses.replace(CONFIG, **change))
    assert f'({shown})' in str(caught.value)
    assert 'choose a new --model_dir' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert (tmp_path / 'config.json').read_bytes() == before


def rewrite(folder, without=(), **contents):
    path = run_folder.prepare(folder, CONFIG) / 'config.json'
    kept = {k: v for k, v in json.loads(path.read_text()).items() if k not in without}
    path.write_text(json.dumps({**kept, **contents}))


def test_a_setting_that_has_gone_is_a_difference(tmp_path):
    rewrite(tmp_path, shift=2)
    for earlier in (None, CONFIG):
        with pytest.raises(UserError, match=r'\(shift: 2 there, \(absent\) now\)'):
            run_folder.check(tmp_path, CONFIG, earlier)


def test_a_setting_that_has_come_is_compared_with_what_was_done_without_it(tmp_path):
    rewrite(tmp_path, without=('momentum', 'filters'))
    other = dataclasses.replace(CONFIG, momentum=0.5)
    with pytest.raises(UserError, match=r'filters: \(absent\) there, \[32, 64\] now; momentum'):
        run_folder.check(tmp_path, CONFIG)
    with pytest.raises(UserError, match=r'\(momentum: 0.9 there, 0.5 now\)'):
        run_folder.check(tmp_path, other, CONFIG)
    assert run_folder.check(tmp_path, CONFIG, CONFIG) == tmp_path
    run_folder.prepare(tmp_path, CONFIG, CONFIG)
    assert json.loads((tmp_path / 'config.json').read_text()) == CONFIG.to_json()


def test_numbers_that_were_written_as_strings_are_the_same(tmp_path):
    rewrite(tmp_path, filters=['32', '64'])
    assert run_folder.check(tmp_path, CONFIG) == tmp_path


@pytest.mark.parametrize(
    'contents', ['', '{"steps": 4', '[1, 2]', 'null', '{"filters": ["x"]}', '{"filters": [null]}']
)
def test_a_damaged_config_is_refused(tmp_path, contents):
    (tmp_path / 'config.json').write_text(contents)
    with pytest.raises(UserError, match='config.json cannot be read'):
        run_folder.check(tmp_path, CONFIG)
    assert (tmp_path / 'config.json').read_text() == contents


@pytest.mark.parametrize('act', [run_folder.check, run_folder.prepare])
def test_a_file_in_the_place_of_the_folder(tmp_path, act):
    path = tmp_path / 'run'
    path.write_text('keep me')
    with pytest.raises(UserError, match='expected a folder at --model_dir; found the file'):
        act(path, CONFIG)
    assert path.read_text() == 'keep me'


def test_a_file_in_the_place_of_the_folder_above(tmp_path):
    (tmp_path / 'file').write_text('keep me')
    with pytest.raises(UserError, match='Not a directory'):
        run_folder.prepare(tmp_path / 'file' / 'run', CONFIG)


def test_a_name_too_long(tmp_path):
    with pytest.raises(UserError, match='File name too long'):
        run_folder.check(tmp_path / ('x' * 300), CONFIG)


def test_a_folder_closed_to_this_user(tmp_path, monkeypatch):
    # The tests may run as root, who can write to any folder.
    def closed(*args, **kwargs):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'stat', closed)
    with pytest.raises(UserError, match='Permission denied'):
        run_folder.check('run', CONFIG)


def test_a_folder_that_cannot_be_written():
    # Nobody can write files to /proc, not even root.
    with pytest.raises(UserError, match='cannot write /proc/run/config.json'):
        run_folder.prepare('/proc/run', CONFIG)


@pytest.mark.parametrize('name', ['checkpoint-62.index', 'last.weights.h5', 'log.csv'])
@pytest.mark.parametrize('act', [run_folder.check, run_folder.prepare])
def test_a_run_that_lost_its_config_is_neither_gone_on_with_nor_overwritten(tmp_path, act, name):
    (tmp_path / name).write_text('keep me')
    with pytest.raises(UserError, match=f'found .* with {name} and no config.json. Restore that'):
        act(tmp_path, CONFIG)
    assert os.listdir(tmp_path) == [name]


def test_a_folder_that_tensorflow_would_take_for_a_pattern_is_refused(tmp_path):
    with pytest.raises(UserError, match='brackets'):
        run_folder.check(tmp_path / 'eps[0.3]', CONFIG)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert run_folder.prepare('~/run', CONFIG) == tmp_path / 'run'


def test_a_folder_of_other_files_is_new(tmp_path):
    (tmp_path / 'notes.txt').write_text('a plan')
    run_folder.prepare(tmp_path, CONFIG)
    assert sorted(os.listdir(tmp_path)) == ['config.json', 'notes.txt']


def test_a_folder_is_made_to_be_held(tmp_path):
    with run_folder.held(tmp_path / 'models' / 'run'):
        assert (tmp_path / 'models' / 'run').is_dir()
    (tmp_path / 'file').write_text('keep me')
    with pytest.raises(UserError, match='cannot write to'):
        with run_folder.held(tmp_path / 'file'):
            pytest.fail('a file was held')


def test_a_second_run_is_kept_out_as_long_as_the_first_lasts(tmp_path):
    with run_folder.held(tmp_path):
        with pytest.raises(UserError, match='found another training at work there'):
            with run_folder.held(tmp_path):
                pytest.fail('two at once')
    with run_folder.held(tmp_path):
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('name', ['last.weights.h5', 'best.weights.h5', 'log.csv'])
def test_read_only_files_are_refused_before_the_training(tmp_path, name):
    run_folder.prepare(tmp_path, CONFIG)
    (tmp_path / name).write_text('precious')
    (tmp_path / name).chmod(0o444)
    with pytest.raises(UserError, match=f'{name}: the file is read-only'):
        run_folder.prepare(tmp_path, CONFIG)
    assert (tmp_path / name).read_text() == 'precious'


@pytest.mark.parametrize(
    'contents, expected',
    [
        ('{"max_num_training_steps": 100000, "k": 40}', True),
        ('{"train_steps": 100000}', False),
        ('[1]', False),
        ('half a fi', False),
        (None, False),
    ],
)
def test_a_folder_of_the_challenges_own_training_by_its_config(tmp_path, contents, expected):
    if contents is not None:
        (tmp_path / 'config.json').write_text(contents)
    assert run_folder.is_challenges(tmp_path) == expected


@pytest.mark.parametrize('name', ['absent', 'x' * 300])
def test_no_folder_is_nobodys(tmp_path, name):
    assert not run_folder.is_challenges(tmp_path / name)
