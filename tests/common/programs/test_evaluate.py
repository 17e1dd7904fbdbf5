"""Programs for anybody's network: python -m common.evaluate and common.train."""

import json
import re

import keras
import numpy as np
import pytest

from common.networks.own import load_network
from common.programs import evaluate, train_own

N = 40


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small network in every form, and its images."""
    folder = tmp_path_factory.mktemp('own')
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(0, 255, (N, 4, 4, 1)).astype(np.uint8)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    )
    y = model.predict(x, verbose=0).argmax(axis=1)
    np.savez(folder / 'data.npz', x=x, y=y)
    np.savez(folder / 'other.npz', images=x, y=y)
    np.save(folder / 'x.npy', x)
    np.save(folder / 'y.npy', y)
    (folder / 'damaged.npz').write_bytes((folder / 'data.npz').read_bytes()[:300])
    np.save(folder / 'objects.npy', np.array([{}, {}]), allow_pickle=True)
    model.save(folder / 'my.keras')
    model.save_weights(folder / 'my.weights.h5')
    model.export(folder / 'saved', verbose=False)
    (folder / 'empty').mkdir()
    (folder / 'damaged.keras').write_bytes(b'no model')
    return folder


@pytest.fixture
def module(folder, monkeypatch):
    """A module of networks, importable from the working folder alone."""
    (folder / 'my_networks.py').write_text(
        'import keras\n'
        'def build():\n'
        '    return keras.models.load_model("my.keras")\n'
        'def network(x):\n'
        '    return build.loaded(x)\n'
        'build.loaded = model = build()\n'
        'number = 3\n'
    )
    monkeypatch.chdir(folder)
    return 'my_networks'


def arguments(folder, **changes):
    chosen = {
        'model': folder / 'my.keras',
        'data': folder / 'data.npz',
        'epsilon': 8,
        'bounds': '0,255',
        **changes,
    }
    return [f'--{name}={value}' for name, value in chosen.items() if value is not None]


def test_the_verdict_is_printed_and_written(folder, run_program, tmp_path):
    files = {'json': tmp_path / 'out.json', 'output': tmp_path / 'adversarial.npy'}
    given = arguments(folder, preset='quick', steps=3, **files)
    status, out, err = run_program(evaluate, *given, '--nocheck')
    assert status == 0, err
    natural, robust = out.splitlines()[:2]
    assert natural.startswith('natural accuracy  100.00% (95% interval')
    found = json.loads(files['json'].read_text())
    assert f'{found["accuracy"]:.2%}' in robust and found['n'] == N
    assert found['natural'] == 1 and 0 < found['accuracy'] < 1
    x_adv = np.load(files['output'])
    stored = np.load(folder / 'data.npz')
    model = load_network(str(folder / 'my.keras'))
    right = model.predict(x_adv, verbose=0).argmax(axis=1) == stored['y']
    assert right.mean() == found['accuracy']
    assert np.abs(x_adv - stored['x']).max() <= 8 + 1e-4
    assert 'wrote' in out and not (tmp_path / 'out.json.partial').exists()


@pytest.fixture
def calls(monkeypatch):
    """What the program passes to `robust_accuracy`, which is not run."""
    made = []

    class Enough(Exception):
        pass

    def record(network, x, y, **settings):
        made.append((network, x, y, settings))
        raise Enough

    monkeypatch.setattr(evaluate, 'robust_accuracy', record)

    def called(run_program, *given):
        with pytest.raises(Enough):
            run_program(evaluate, *given)
        return made[-1]

    return called


def test_networks_and_images_in_every_form(folder, run_program, calls, module):
    x, y = np.load('x.npy'), np.load('y.npy')
    expected = load_network('my.keras').predict(x, verbose=0)
    for model in ('my.keras', 'saved', *(f'{module}:{n}' for n in ('build', 'network', 'model'))):
        network, images, labels, _ = calls(
            run_program, *arguments(folder, model=model, data='x.npy,y.npy')
        )
        if isinstance(network, keras.Model):
            found = network.predict(x, verbose=0)
        else:
            found = evaluate.own_data_set.as_logits(network)(np.float32(x))
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert isinstance(images, np.memmap)
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, y)
    *_, settings = calls(
        run_program, *arguments(folder, bounds='-1,255.5', norm='l2', epsilon='0.5', seed=3)
    )
    assert settings['bounds'] == (-1, 255.5) and settings['norm'] == 'l2'
    assert (settings['epsilon'], settings['seed'], settings['preset']) == (0.5, 3, 'standard')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model': None}, 'model'),
        ({'epsilon': None}, 'epsilon'),
        ({'bounds': None}, 'bounds'),
        ({'model': 'nothing.keras'}, 'expected a Keras model at nothing.keras; found no such file'),
        ({'model': 'nothing'}, "there is no network 'nothing': expected a whole Keras model"),
        ({'model': 'damaged.keras'}, 'damaged.keras cannot be read as a Keras model'),
        ({'model': 'my.weights.h5'}, 'found weights alone in my.weights.h5'),
        ({'model': 'empty'}, 'expected a SavedModel in the folder empty'),
        ({'model': 'no_such_module:network'}, "expected 'network' in the Python module"),
        ({'model': 'my_networks:nothing'}, "expected 'nothing' in the Python module"),
        ({'model': 'my_networks:number'}, 'expected a Keras model, a SavedModel or a function'),
        ({'data': 'nothing.npz'}, 'expected a file of NumPy arrays at nothing.npz'),
        ({'data': 'x.npy'}, "two .npy files as IMAGES.npy,LABELS.npy; found 'x.npy'"),
        ({'data': 'other.npz'}, r'expected the arrays x \(images\) and y .*; found images, y'),
        ({'data': 'damaged.npz'}, 'damaged.npz cannot be read as an array of numbers'),
        ({'data': 'objects.npy,y.npy'}, 'objects.npy cannot be read as an array of numbers'),
        ({'data': 'x.npy,x.npy'}, 'expected 40 labels'),
        ({'bounds': '255,0'}, "--bounds: expected the smallest .*; found '255,0'"),
        ({'bounds': '0'}, "--bounds: expected the smallest .*; found '0'"),
        ({'bounds': 'a,b'}, "--bounds: expected the smallest .*; found 'a,b'"),
        ({'bounds': '0,1'}, 'expected pixels from 0 to 1; found 0 to 25'),
        ({'epsilon': 0}, 'expected epsilon and steps above 0'),
        ({'epsilon': 'nan'}, 'epsilon must be finite'),
        ({'preset': 'slow'}, 'preset'),
        ({'json': 'same', 'output': 'same'}, 'expected two files at --output and --json'),
        ({'bounds': '0,inf'}, "--bounds: expected the smallest .*; found '0,inf'"),
        ({'model_output': 'logits'}, "expected output=None, .*; found 'logits'"),
    ],
)
def test_malformed_input_gets_one_line(folder, run_program, module, changes, message, monkeypatch):
    monkeypatch.chdir(folder)
    status, _, err = run_program(evaluate, *arguments(folder, **changes))
    assert status == 1
    (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ('program', 'changes', 'message'),
    [
        (evaluate, {'data': 'x.npy,y.npy', 'output': 'x.npy'}, '--output .* x.npy, which --data'),
        (evaluate, {'data': 'x.npy, y.npy', 'json': './y.npy'}, '--json .*y.npy, which --data'),
        (evaluate, {'output': 'link.npz'}, '--output would replace link.npz, which --data reads'),
        (evaluate, {'json': 'my.keras'}, '--json would replace my.keras, which --model reads'),
        (train_own, {'model': 'trained.keras', 'model_dir': '.'}, '--model_dir .* --model reads'),
    ],
)
def test_outputs_never_replace_inputs(
    folder, run_program, tmp_path, monkeypatch, program, changes, message
):
    monkeypatch.chdir(tmp_path)
    for name in ('x.npy', 'y.npy', 'data.npz', 'my.keras'):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / 'trained.keras').write_bytes((folder / 'my.keras').read_bytes())
    (tmp_path / 'link.npz').symlink_to('data.npz')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, _, err = run_program(program, *arguments(tmp_path, **{'model': 'my.keras', **changes}))
    assert status == 1 and re.search(message, err.splitlines()[-1]), err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_training_resumes_and_leaves_a_whole_model(folder, run_program, tmp_path):
    run = tmp_path / 'run'
    given = arguments(folder, model_dir=run, steps=2, batch_size=20, validation_size=10)
    status, out, err = run_program(train_own, *given, '--train_steps=6')
    assert status == 0, err
    assert f'trained: {run / "trained.keras"}' in out
    assert {'config.json', 'last.weights.h5', 'log.csv', 'trained.keras'} <= {
        path.name for path in run.iterdir()
    }
    trained = load_network(str(run / 'trained.keras'))
    before = load_network(str(folder / 'my.keras'))
    weights = zip(trained.get_weights(), before.get_weights(), strict=True)
    assert any(np.abs(a - b).max() > 0 for a, b in weights)
    config = json.loads((run / 'config.json').read_text())
    assert config['step_size'] == 2.5 * 8 / 2 and config['upper'] == 255
    status, _, err = run_program(train_own, *given, '--train_steps=7')
    assert status == 1 and 'holds a run with another config (train_steps: 6 there, 7 now)' in err


def test_held_out_images_are_attacked_within_the_ball_of_the_flags(
    folder, run_program, tmp_path, monkeypatch
):
    made = []

    class Recorder:
        writes = False

        def __init__(self, **arguments):
            made.append(arguments)

        def train(self):
            pass

    monkeypatch.setattr('common.programs.train.Trainer', Recorder)
    given = arguments(folder, model_dir=tmp_path / 'run', batch_size=20, validation_size=10)
    assert run_program(train_own, *given, '--bounds=0,300')[0] == 0
    (arguments_,) = made
    attack = arguments_['data'].validation.attack
    assert (attack.ball.epsilon, attack.ball.upper, attack.steps) == (8, 300, 40)
    assert attack.steps * attack.step_size > attack.ball.epsilon
    assert arguments_['settings'].attack.ball == attack.ball


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model': 'saved'}, '--model: expected a Keras model, whose weights can be trained'),
        ({'data': 'nothing.npz'}, 'expected a file of NumPy arrays at nothing.npz'),
        ({'bounds': '0,1'}, 'expected pixels from 0 to 1; found'),
        ({'validation_size': 40}, '--validation_size: expected fewer than'),
        ({'batch_size': 41}, '--batch_size: expected at most'),
        ({'model_dir': None}, 'model_dir'),
        ({'epsilon': -1}, 'epsilon'),
    ],
)
def test_trainings_that_cannot_be(folder, run_program, changes, message, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    given = arguments(folder, **{'model_dir': tmp_path / 'run', 'batch_size': 20, **changes})
    status, _, err = run_program(train_own, *given)
    assert status == 1 and message in err.splitlines()[-1]
    assert not (tmp_path / 'run').exists()
