"""Before TensorFlow: a Keras that cannot work is refused in one line; Ctrl-C has its status."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from common import startup

ROOT = pathlib.Path(startup.__file__).parents[1]
DOORS = ['mnist', 'mnist.train', 'cifar10.eval_attack', 'common.report']


def python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize('backend', ['jax', 'torch'])
@pytest.mark.parametrize('door', DOORS)
def test_programs_refuse_another_backend_in_one_line(door, backend):
    done = python('-m', door, KERAS_BACKEND=backend)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == (
        f"error: expected tensorflow as Keras' backend; found {backend}, from KERAS_BACKEND. "
        'Unset KERAS_BACKEND.\n'
    )


def test_an_import_raises_the_same_line():
    done = python('-c', 'import common', KERAS_BACKEND='jax')
    assert done.returncode == 1 and 'Traceback' in done.stderr
    assert done.stderr.splitlines()[-1].startswith('ImportError: expected tensorflow as Keras')


@pytest.mark.parametrize(
    'settings, words',
    [({'backend': 'torch'}, 'found torch, from '), ({'floatx': 'float16'}, 'found float16, from ')],
)
def test_kerass_own_file_of_settings_counts_as_well(tmp_path, settings, words):
    path = tmp_path / 'keras.json'
    path.write_text(json.dumps(settings))
    done = python('-m', 'mnist.eval', KERAS_HOME=str(tmp_path), KERAS_BACKEND='')
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
    assert f'{words}{path}' in done.stderr


@pytest.mark.parametrize('contents', ['', '[1]', '{"epsilon": 1e-7}', '{"backend": "tensorflow"}'])
def test_other_files_are_left_to_keras(tmp_path, monkeypatch, contents):
    (tmp_path / 'keras.json').write_text(contents)
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    monkeypatch.delenv('KERAS_BACKEND', raising=False)
    monkeypatch.delitem(sys.modules, 'keras')
    startup.begin()


def test_the_variable_comes_before_the_file(tmp_path, monkeypatch):
    (tmp_path / 'keras.json').write_text('{"backend": "jax"}')
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    monkeypatch.setenv('KERAS_BACKEND', 'tensorflow')
    monkeypatch.delitem(sys.modules, 'keras')
    startup.begin()


def test_ctrl_c_during_the_import_of_tensorflow(tmp_path):
    # In its place, a module that waits.
    (tmp_path / 'tensorflow.py').write_text(
        'import time\nprint("importing", flush=True)\ntime.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-m', 'mnist.train'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    )
    with process:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, '', 'interrupted\n')
