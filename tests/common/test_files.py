"""Files are written completely or not at all."""

import hashlib
import json
import os
import pathlib
import stat

import numpy as np
import pytest

from common.errors import UserError
from common.files import (
    partial_folder,
    replacing,
    require_apart,
    require_writable,
    sha256,
    write_array,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_is_done(tmp_path):
    path = tmp_path / 'result.txt'
    with replacing(path) as temporary:
        assert temporary.parent == path.parent and temporary != path
        temporary.write_text('new')
        assert not path.exists()
    assert path.read_text() == 'new'
    assert names(tmp_path) == ['result.txt']


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    write_json('~/new/result.json', 1)
    assert (tmp_path / 'new' / 'result.json').exists()
    assert partial_folder('~/result.json') == tmp_path / 'result.json.partial'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, UserError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / 'result.txt'
    path.write_text('old')
    with pytest.raises(error, match='what went wrong'), replacing(path) as temporary:
        temporary.write_text('half')
        raise error('what went wrong')
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['result.txt']


def test_a_full_disk_is_the_users_to_fix(tmp_path):
    path = tmp_path / 'result.txt'
    path.write_text('old')
    with pytest.raises(UserError, match='No space left on device') as caught, replacing(path):
        raise OSError(28, 'No space left on device')
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    assert path.read_text() == 'old' and names(tmp_path) == ['result.txt']


def test_missing_folders_are_made(tmp_path):
    with replacing(tmp_path / 'a' / 'b' / 'c.txt') as temporary:
        temporary.write_text('')
    assert names(tmp_path / 'a' / 'b') == ['c.txt']


def test_a_file_in_the_way_of_the_folder_is_reported(tmp_path):
    (tmp_path / 'file').write_text('')
    with (
        pytest.raises(UserError, match='cannot write .*result.txt'),
        replacing(tmp_path / 'file' / 'result.txt'),
    ):
        pytest.fail('there is nowhere to write')


def test_a_folder_of_that_name_is_reported_and_kept(tmp_path):
    (tmp_path / 'result.txt').mkdir()
    with pytest.raises(UserError, match='cannot write'), replacing(tmp_path / 'result.txt') as t:
        t.write_text('new')
    assert names(tmp_path) == ['result.txt'] and (tmp_path / 'result.txt').is_dir()


def test_the_name_of_a_folder_is_refused_before_it_is_there(tmp_path):
    with pytest.raises(UserError, match='expected the name of a file; found .*new/'):
        require_writable(f'{tmp_path}/new/')
    assert names(tmp_path) == []


def test_devices_and_pipes_are_never_replaced(tmp_path):
    # As --json=/dev/null would be, by the administrator.
    path = tmp_path / 'null'
    os.mkfifo(path)
    with pytest.raises(UserError, match='cannot write'), replacing(path) as temporary:
        temporary.write_text('new')
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ['null']


def test_the_temporary_name_has_the_ending_asked_for(tmp_path):
    with replacing(tmp_path / 'a.weights.h5', suffix='.weights.h5') as temporary:
        assert temporary.name.endswith('.weights.h5')


def test_names_without_a_folder_lie_in_the_working_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replacing('result.txt') as temporary:
        assert isinstance(temporary, pathlib.Path)
        temporary.write_text('new')
    assert names(tmp_path) == ['result.txt']


def test_files_have_the_usual_permissions(tmp_path):
    previous = os.umask(0o027)
    try:
        write_json(tmp_path / 'value.json', {})
        assert os.umask(0o027) == 0o027  # looking at the umask has not changed it
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / 'value.json').stat().st_mode) == 0o640


def test_json_comes_back(tmp_path):
    value = {'rows': [1, 2.5, None, 'ä', [True]]}
    write_json(tmp_path / 'value.json', value)
    assert json.loads((tmp_path / 'value.json').read_text()) == value


def test_values_that_json_cannot_hold_leave_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / 'value.json', {'x': object()})
    assert names(tmp_path) == []


@pytest.mark.parametrize('name', ['pred.npy', 'pred', 'new folder/pred.npy'])
def test_an_array_gets_the_name_given(tmp_path, name):
    write_array(tmp_path / name, np.array([3, 1, 4], np.int64))
    saved = np.load(tmp_path / name)
    np.testing.assert_array_equal(saved, [3, 1, 4])
    assert saved.dtype == np.int64
    assert names((tmp_path / name).parent) == [(tmp_path / name).name]


def test_an_array_does_not_replace_a_folder(tmp_path):
    with pytest.raises(UserError, match='cannot write') as caught:
        write_array(tmp_path, np.array([1]))
    assert str(tmp_path) in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('size', [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256_of_whole_files(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / 'file').write_bytes(content[:size])
    assert sha256(tmp_path / 'file') == hashlib.sha256(content[:size]).hexdigest()


def test_a_file_that_can_be_written_is_left_alone_by_the_question(tmp_path):
    path = tmp_path / 'rows.json'
    require_writable(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text('old')
    require_writable(path)
    assert path.read_text() == 'old'


def test_a_folder_in_the_way_is_found_out_before_the_work(tmp_path):
    with pytest.raises(UserError, match='cannot write'):
        require_writable(tmp_path)


def test_a_symbolic_link_is_written_through(tmp_path):
    there = tmp_path / 'there'
    there.mkdir()
    (there / 'value.json').write_text('old')
    link = tmp_path / 'link.json'
    link.symlink_to(pathlib.Path('there') / 'value.json')
    require_writable(link)
    write_json(link, 1)
    assert link.is_symlink() and json.loads((there / 'value.json').read_text()) == 1
    assert names(tmp_path) == ['link.json', 'there'] and names(there) == ['value.json']


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    link = tmp_path / 'link.npy'
    link.symlink_to(tmp_path / 'new' / 'array.npy')
    write_array(link, np.arange(3))
    assert link.is_symlink() and np.load(tmp_path / 'new' / 'array.npy').tolist() == [0, 1, 2]


def test_links_in_a_circle_are_refused(tmp_path):
    link = tmp_path / 'link.json'
    link.symlink_to(link)
    with pytest.raises(UserError, match='cannot write .*link.json'):
        require_writable(link)
    assert link.is_symlink()


@pytest.mark.parametrize('linked', [False, True])
def test_a_read_only_file_is_refused_before_the_work(tmp_path, linked):
    path = tmp_path / 'result.txt'
    path.write_text('old')
    path.chmod(0o444)
    if linked:
        (tmp_path / 'link.txt').symlink_to(path)
    with pytest.raises(UserError, match='read-only'):
        require_writable(tmp_path / 'link.txt' if linked else path)
    assert path.read_text() == 'old'


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / 'result.json'
    path.write_text('old')
    path.chmod(0o600)
    write_json(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text() == '1\n'


def test_outputs_replace_neither_inputs_nor_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'x.npy').write_text('x')
    (tmp_path / 'link').symlink_to('x.npy')
    for name in ('x.npy', './x.npy', 'link', tmp_path / 'x.npy', '~/x.npy'):
        for outputs, inputs in ((name, 'x.npy'), ('x.npy', name)):
            with pytest.raises(UserError, match='^--out would replace .*, which --in reads'):
                require_apart({'--out': outputs}, {'--in': ['y.npy', None, inputs]})
    with pytest.raises(UserError, match='two files at --b and --a; found ./new at both'):
        require_apart({'--a': 'new', '--b': './new'}, {})
    # A name that is no file, such as that of a released network, is not lost.
    require_apart({'--a': 'A', '--b': None, '--c': ''}, {'--in': ['A', 'x.npy', '']})
