"""Cascades on two devices, and on two hosts of which one is killed, are those of one device."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[3]

# A cascade of a small network on drawn images, with a check and all files.
CASCADE = textwrap.dedent("""
    import contextlib, os, pathlib, signal, sys
    root, folder, devices, mirrored, last = (
        sys.argv[1], pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:]))
    sys.path.insert(0, root)
    import common  # quiets TensorFlow
    import keras, numpy as np, tensorflow as tf
    from common import distribution
    from common.attacks import PGD, Square
    from common.data.batches import Examples
    from common.evaluation import concurrent_batches, resumable, worst_case
    from common.evaluation.attack_table import AttackSettings, AttackTable
    from common.evaluation.crafting import Crafting
    from common.evaluation.images_on_disk import ImagesOnDisk
    from common.evaluation.sanity_checks import beyond
    from common.evaluation.verdict import Stage
    from common.evaluation.worst_case import Files, evaluate
    from common.threat_model import LinfBall
    from common.transfer import Sources

    if devices > 1:
        cpu = tf.config.list_physical_devices('CPU')[0]
        one = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [one] * devices)
        concurrent_batches.devices = lambda: [f'CPU:{i}' for i in range(devices)]
    hosts = distribution.join()
    resumable._SECONDS_BETWEEN_WRITES = -1.0
    used, keep = set(), ImagesOnDisk.keep

    def counted(self, index, x_adv, kept=[]):
        kept.append(index)
        if len(kept) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        keep(self, index, x_adv)

    ImagesOnDisk.keep = counted

    def checks(suspect, survived, **_):  # one of them, which attacks
        suspect.survivors(suspect.pgd)
        yield beyond(suspect, survived)

    worst_case.checks = checks
    keras.utils.set_random_seed(0)
    scope = contextlib.nullcontext()
    if mirrored:  # as a network in training is
        scope = tf.distribute.MirroredStrategy(concurrent_batches.devices()).scope()
    with scope:
        model = keras.Sequential([
            keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, activation='relu'),
            keras.layers.Flatten(), keras.layers.Dense(4)])
    x = np.random.default_rng(0).uniform(0, 1, (90, 6, 6, 1)).astype(np.float32)
    y = np.argmax(model(x), axis=1).astype(np.int32)
    ball = LinfBall(0.1)

    attacks = AttackTable(Examples(x, y, 'x'), 'A',
                          AttackSettings(ball, 0.03, num_classes=4, crafting=Crafting(8)),
                          Sources(lambda _: model))
    stages = (Stage('pgd', PGD(ball, 4, 0.03)), Stage('again', PGD(ball, 6, 0.03), restarts=2),
              Stage('square', Square(ball, 30), queries=30))
    judge = type(attacks.network.judge).__call__

    def noted(self, x, y):
        used.add(x.device[-5:])
        return judge(self, x, y)

    type(attacks.network.judge).__call__ = noted
    with hosts.first_prints():
        evaluate(attacks, stages,
                 Files(cache=folder / 'cache', json=str(folder / 'rows.json'),
                       images=str(folder / 'attack.npy'), shape=(90, -1)),
                 preset='short', others=[])
        print(sorted(used))
""")


def start(folder, *, devices=1, mirrored=False, last=0, host=0, ports=()):
    """A process that runs the cascade, until it has `last` batches of images."""
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != 'TF_CONFIG'}
    if ports:
        config = {
            'cluster': {'worker': [f'127.0.0.1:{port}' for port in ports]},
            'task': {'type': 'worker', 'index': host},
        }
        environment['TF_CONFIG'] = json.dumps(config)
    return subprocess.Popen(
        [
            sys.executable,
            '-c',
            CASCADE,
            str(ROOT),
            str(folder),
            str(devices),
            str(int(mirrored)),
            str(last),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return out


def results(folder):
    """Everything that a cascade has written but for the seconds it took."""
    found = json.loads((folder / 'rows.json').read_text())
    for record in (*found['rows'], *found['stages']):
        record.pop('seconds')
    return found, np.load(folder / 'attack.npy')


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone')
    assert "['CPU:0']" in finished(start(folder))
    return results(folder)


def assert_same(folder, alone):
    found, images = results(folder)
    assert found == alone[0]
    np.testing.assert_array_equal(images, alone[1])


@pytest.mark.slow
@pytest.mark.parametrize('mirrored', [False, True])
def test_two_devices_find_what_one_does(tmp_path, alone, mirrored):
    process = start(tmp_path, devices=2, mirrored=mirrored)
    assert "['CPU:0', 'CPU:1']" in finished(process)
    assert_same(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize('killed', [0, 1])
def test_of_two_hosts_one_is_killed_and_both_start_again(tmp_path, alone, killed):
    ports = free_ports(2)
    hosts = [
        start(tmp_path, last=4 if host == killed else 0, host=host, ports=ports) for host in (0, 1)
    ]
    assert hosts[killed].wait(timeout=200) == -signal.SIGKILL
    _, err = hosts[1 - killed].communicate(timeout=100)
    assert hosts[1 - killed].returncode != 0
    assert 'expected an answer from all 2 hosts; one has stopped' in err, err[-3000:]
    assert not (tmp_path / 'attack.npy').exists()
    left = {path.suffix for path in (tmp_path / 'cache').iterdir()}
    assert left == {'.npz', '.images'}
    ports = free_ports(2)
    first, second = [start(tmp_path, host=host, ports=ports) for host in (0, 1)]
    assert 'survive after' in finished(first) and finished(second) == ''
    assert_same(tmp_path, alone)
