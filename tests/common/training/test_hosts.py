"""Several hosts, as TF_CONFIG lists them, train as one does."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

WORKER = textwrap.dedent("""
    import pathlib, sys
    sys.path[:0] = [sys.argv[1], sys.argv[2]]
    from common.distribution import make_strategy
    strategy = make_strategy()
    import numpy as np
    import test_batch_norm as t

    folder = pathlib.Path(sys.argv[3])
    for train_steps in (2, 4):  # the second part resumes from the first one's checkpoint
        with strategy.scope():
            model = t.build()
        t.Trainer(network=model, data=t.Data(t.EXAMPLES), model_dir=folder / 'run',
                  settings=t.Settings(**{**t.ALL, 'train_steps': train_steps, 'batch_size': 16},
                                      attack=t.pgd(2), crafting='train', weight_decay=0.1,
                                      weight_averaging=0.5, checkpoint_every=2),
                  strategy=strategy).train()
    with strategy.scope():  # without batch statistics one host and two are the same to rounding
        plain = t.keras.Sequential([t.keras.Input(t.SHAPE), *t.build().layers[1:]])
    t.Trainer(network=plain, data=t.Data(t.EXAMPLES), model_dir=folder / 'plain',
              settings=t.Settings(**{**t.ALL, 'train_steps': 6, 'batch_size': 16},
                                  attack=t.pgd(2, 0.1), weight_decay=0.1),
              strategy=strategy).train()
    np.savez(folder / sys.argv[4], *[v.numpy() for v in model.trainable_variables],
             **{f'plain_{i}': v.numpy() for i, v in enumerate(plain.trainable_variables)})
""")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


FOR_EVER = textwrap.dedent("""
    import pathlib, sys
    sys.path[:0] = [sys.argv[1], sys.argv[2]]
    from common.distribution import make_strategy
    strategy = make_strategy()
    import test_batch_norm as t

    with strategy.scope():
        model = t.build()
    t.Trainer(network=model, data=t.Data(t.EXAMPLES), model_dir=pathlib.Path(sys.argv[3]) / 'run',
              settings=t.Settings(**{**t.ALL, 'train_steps': 10**9, 'batch_size': 16},
                                  checkpoint_every=2), strategy=strategy).train()
""")


def start(folder, workers, script):
    """Processes that train, as hosts 0, 1, ... of one cluster."""
    here = pathlib.Path(__file__)
    cluster = {'worker': [f'127.0.0.1:{port}' for port in free_ports(workers)]}
    processes = []
    for index in range(workers):
        config = {'cluster': cluster, 'task': {'type': 'worker', 'index': index}}
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    '-c',
                    script,
                    str(here.parents[3]),
                    str(here.parent),
                    str(folder),
                    f'{index}.npz',
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, 'TF_CONFIG': json.dumps(config)},
            )
        )
    return processes


def results(folder, processes):
    """The arrays that each process saved after training, and its output."""
    said = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-3000:]
        said.append(out)
    return [dict(np.load(folder / f'{i}.npz')) for i in range(len(processes))], said


@pytest.mark.slow
def test_two_hosts_train_as_one_and_only_the_first_writes(tmp_path):
    folders = {tmp_path / 'one': 1, tmp_path / 'two': 2}
    for folder in folders:
        folder.mkdir()
    started = {folder: start(folder, workers, WORKER) for folder, workers in folders.items()}
    ((one,), _), ((first, second), said) = (
        results(folder, processes) for folder, processes in started.items()
    )
    for name, expected in one.items():
        np.testing.assert_array_equal(first[name], second[name])
        # With batch statistics each host normalizes with its own half of the batch.
        tolerance = 1e-5 if name.startswith('plain') else 0.1
        assert np.abs(first[name] - expected).max() < tolerance * max(1, np.abs(expected).max())
    assert {path.name for path in (tmp_path / 'two').iterdir()} == {
        '0.npz',
        '1.npz',
        'run',
        'plain',
    }
    for name in ('one', 'two'):  # names of events.* contain the time and the host
        files = {path.name for path in (tmp_path / name / 'run').glob('[!e]*')}
        assert files == {'checkpoint', 'log.csv', 'last.weights.h5'} | {
            f'checkpoint-{step}.{suffix}'
            for step in (2, 4)
            for suffix in ('index', 'data-00000-of-00001')
        }
    assert 'resuming from step 2' in said[0] and not said[1]


@pytest.mark.slow
def test_all_hosts_stop_after_the_same_step_when_one_is_told_to(tmp_path):
    processes = start(tmp_path, 2, FOR_EVER)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob('run/checkpoint-2.index')) and time.monotonic() < deadline:
        time.sleep(0.2)
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert err.rstrip().endswith('KeyboardInterrupt'), err[-2000:]
