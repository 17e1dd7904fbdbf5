"""`python -m <data set>.model`: the released networks as recorded, or the layers of one."""

import dataclasses
import json
import types

import pytest

from cifar10.data_set import CIFAR10
from common.programs import cli, network
from mnist.data_set import MNIST


@pytest.fixture
def run(run_program):
    def run(data_set, *arguments):
        door = cli.Door(network, data_set)
        program = types.SimpleNamespace(__name__='prog.model', main=door)
        status, out, err = run_program(program, *arguments)
        assert (status, err) == (0, '')
        return out

    return run


@pytest.mark.parametrize('data_set', [MNIST, CIFAR10], ids=lambda data_set: data_set.key)
def test_lists_what_the_manifest_records(run, data_set):
    lines = {line.split()[0]: line for line in run(data_set).splitlines() if line}
    for name, entry in data_set.networks.manifest().items():
        assert entry['description'] in lines[name]
        for method in ('natural', 'pgd', 'worst_case'):
            rows = [
                row
                for row in entry['results']
                if row['method'] == method
                and row['source'] in (None, name)
                and row['steps'] in (None, data_set.steps)
                and row['restarts'] in (None, 1)
            ]
            assert f'{rows[0]["accuracy"]:.2%} of {rows[0]["n"]:,}' in lines[name]


def test_takes_the_lowest_of_the_largest_measurements(run, tmp_path):
    def row(accuracy, n, **changes):
        base = {'method': 'worst_case', 'source': 'A', 'steps': None, 'restarts': None}
        return {**base, 'accuracy': accuracy, 'n': n, **changes}

    entry = {'file': 'a', 'sha256': 'b', 'config': {}, 'description': 'somehow'}
    entry['results'] = [
        row(0.2, 100, preset='quick'),
        row(0.5, 1000, preset='quick'),
        row(0.4, 1000, preset='standard'),
        row(0.1, 5000, method='pgd', steps=MNIST.steps, restarts=1, source='other'),
    ]
    (tmp_path / 'manifest.json').write_text(json.dumps({'mnist': {'A': entry}}))
    networks = dataclasses.replace(MNIST.networks, released=tmp_path)
    out = run(dataclasses.replace(MNIST, networks=networks))
    (line,) = (line for line in out.splitlines() if line.startswith('A '))
    assert line.split() == ['A', '-', '-', '40.00%', 'of', '1,000', '(standard)', 'somehow']


def test_prints_the_layers_of_a_described_network(run):
    out = run(MNIST, '--filters=2,4', '--hidden=8')
    assert 'conv1' in out and out.endswith('trainable parameters, 0 moving statistics\n')
    assert run(MNIST, '--network=A').endswith(
        '3,274,634 trainable parameters, 0 moving statistics\n'
    )


def test_a_data_set_without_released_networks_prints_the_layers(run, tmp_path):
    networks = dataclasses.replace(MNIST.networks, released=tmp_path)
    assert 'conv1' in run(dataclasses.replace(MNIST, networks=networks))
