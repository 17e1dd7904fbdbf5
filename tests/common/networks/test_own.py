"""Anybody's network: factories and networks told apart, and one line for what fails."""

import sys

import keras
import pytest
import tensorflow as tf

from common.errors import UserError
from common.networks.own import load_network

CODE = """
import sys

from common.errors import UserError

def network(x): return x
def optional(x=None): return x
def several(*args): return args
def build(): return network
def build_small(*, width=2): return network
def raising(): raise RuntimeError('no GPU here')
def leaving(): sys.exit(3)
def saying(): raise UserError('expected weights; found none')
def needing(*, width): return network
class Network:
    def __call__(self, x): return x
class Needing(Network):
    def __init__(self, width): pass
class Raising(Network):
    def __init__(self): raise ValueError
"""
MODULES = {
    'own_code': CODE,
    'own_syntax': 'def network(x) return x',
    'own_name': 'network = undefined',
    'own_exit': 'import sys\nsys.exit(2)',
    'own_raises': "raise RuntimeError('two\\nlines')",
    'own_import': 'import no_such_library',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the modules in it."""
    for name, code in MODULES.items():
        (tmp_path / f'{name}.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def test_what_takes_images_is_a_network_and_what_takes_none_makes_one(folder):
    for name in ('network', 'optional', 'several'):
        assert load_network(f'own_code:{name}').__name__ == name
    for name in ('build', 'build_small'):
        assert load_network(f'own_code:{name}').__name__ == 'network'
    assert type(load_network('own_code:Network')).__name__ == 'Network'


@pytest.mark.parametrize(
    ('reference', 'message'),
    [
        ('own_code:raising', 'calling it failed: RuntimeError: no GPU here'),
        ('own_code:leaving', 'calling it failed: SystemExit: 3'),
        ('own_code:saying', '^expected weights; found none$'),
        ('own_code:needing', "calling it failed: TypeError: .*'width'"),
        ('own_code:Needing', "calling it failed: TypeError: .*'width'"),
        ('own_code:Raising', 'calling it failed: ValueError'),
        ('own_code:missing', "expected 'missing' in the Python module 'own_code'"),
        ('own_syntax:network', 'importing that failed: SyntaxError: .*own_syntax.py, line 1'),
        ('own_name:network', "importing that failed: NameError: name 'undefined'"),
        ('own_exit:network', 'importing that failed: SystemExit: 2'),
        ('own_raises:network', 'importing that failed: RuntimeError: two. Correct'),
        ('own_import:network', "found No module named 'no_such_library'"),
        ('..own_code:network', "expected 'network' in the Python module '..own_code'"),
    ],
)
def test_code_that_fails_gets_one_line(folder, reference, message):
    with pytest.raises(UserError, match=message) as refused:
        load_network(reference)
    assert '\n' not in str(refused.value)


def test_a_damaged_saved_model_gets_one_line(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    tf.saved_model.save(model, str(tmp_path))
    for part in (tmp_path / 'variables').iterdir():
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with pytest.raises(UserError, match='cannot be read as a SavedModel') as refused:
        load_network(str(tmp_path))
    assert '\n' not in str(refused.value)
