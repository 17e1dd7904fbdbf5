"""No program replaces what it reads."""

import types

import pytest

from common.programs import cli, network
from mnist import eval_attack, pgd_attack, run_attack
from mnist.data_set import MNIST

model = types.SimpleNamespace(__name__='mnist.model', main=cli.Door(network, MNIST))


@pytest.mark.parametrize(
    ('program', 'reads', 'writes'),
    [
        (pgd_attack, 'checkpoint', 'output'),
        (run_attack, 'checkpoint', 'predictions'),
        (eval_attack, 'target', 'json'),
        (eval_attack, 'source', 'json'),
        (model, 'checkpoint', 'export_tf1'),
    ],
)
def test_a_network_is_never_replaced(program, reads, writes, run_program, tmp_path):
    path = tmp_path / 'my.weights.h5'
    written = tmp_path / 'my.weights.h5.index' if program is model else path  # of the prefix
    written.write_bytes(b'weeks of work')
    flags = f'--{reads}={path}', f'--{writes}={path}', '--dataset=drawn'
    status, _, err = run_program(program, *flags[: 2 if program is model else 3])
    assert status == 1 and written.read_bytes() == b'weeks of work'
    assert err.splitlines()[-1] == (
        f'error: --{writes} would replace {written}, which --{reads} reads. '
        f'Give --{writes} another name.'
    )
