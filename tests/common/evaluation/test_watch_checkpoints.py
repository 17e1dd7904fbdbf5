"""A model folder under training: each new checkpoint is seen once, and only when it is whole."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import fgsm
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation import watch_checkpoints
from common.evaluation.crafting import Crafting
from common.statistics import wilson_interval
from common.threat_model import LinfBall
from common.transfer import Source


class Stopped(Exception):
    """The test has seen enough."""


def save(folder, step):
    tf.train.Checkpoint(step=tf.Variable(step)).write(str(folder / f'checkpoint-{step}'))


def watch(folder, monkeypatch, *events):
    """Names of the checkpoints seen while one event after the other happens, a second each."""
    waiting = iter(events)

    def sleep(seconds):
        event = next(waiting, None)
        if event is None:
            raise Stopped
        event()

    monkeypatch.setattr(watch_checkpoints.time, 'sleep', sleep)
    seen = []
    with pytest.raises(Stopped):
        for prefix in watch_checkpoints.new_checkpoints(folder):
            seen.append(os.path.relpath(prefix, folder))
    return seen


def nothing():
    pass


def test_the_newest_now_and_each_later_one(tmp_path, monkeypatch):
    for step in (300, 600):
        save(tmp_path, step)
    seen = watch(
        tmp_path,
        monkeypatch,
        nothing,
        lambda: save(tmp_path, 900),
        nothing,
        lambda: save(tmp_path, 1200),
    )
    assert seen == ['checkpoint-600', 'checkpoint-900', 'checkpoint-1200']


def test_a_folder_that_is_still_empty(tmp_path, monkeypatch, capsys):
    assert watch(tmp_path, monkeypatch, nothing, lambda: save(tmp_path, 300)) == ['checkpoint-300']
    assert str(tmp_path) in capsys.readouterr().out


@pytest.mark.parametrize('suffix', ['.index', '.data-00000-of-00001'])
def test_a_checkpoint_that_is_being_written_has_to_wait(tmp_path, monkeypatch, suffix):
    save(tmp_path, 300)
    save(tmp_path, 600)
    path = tmp_path / f'checkpoint-600{suffix}'
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    seen = watch(tmp_path, monkeypatch, nothing, lambda: path.write_bytes(whole))
    assert seen == ['checkpoint-600']


def test_a_list_with_the_paths_of_another_machine(tmp_path, monkeypatch):
    save(tmp_path, 300)
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/elsewhere/checkpoint-300"\n')
    assert watch(tmp_path, monkeypatch) == ['checkpoint-300']


def test_the_list_of_a_folder_chooses_what_is_evaluated(tmp_path, monkeypatch, capsys):
    def choose(step):
        text = f'model_checkpoint_path: "/elsewhere/checkpoint-{step}"'
        (tmp_path / 'checkpoint').write_text(text)

    for step in (300, 600):
        save(tmp_path, step)
    choose(300)
    seen = watch(
        tmp_path, monkeypatch, lambda: choose(900), nothing, lambda: save(tmp_path, 900), nothing
    )
    assert seen == ['checkpoint-300', 'checkpoint-900']
    assert capsys.readouterr().err.count('note: expected the checkpoint checkpoint-900') == 1


@pytest.mark.parametrize(
    'prefix, step',
    [
        ('models/a/checkpoint-300', 300),
        ('checkpoint-24900', 24_900),
        ('A', 0),
        ('', 0),
        ('models/run-5/last.weights.h5', 0),
    ],
)
def test_step_of(prefix, step):
    assert watch_checkpoints.step_of(prefix) == step


def evaluator(folder, y):
    x = np.full((len(y), 2), 0.5, np.float32)
    return watch_checkpoints.Evaluator(
        fgsm(LinfBall(0.1)),
        Examples(x, np.array(y, np.int32), 'four points'),
        crafting=Crafting(3),
        summary_dir=folder,
    )


def network():
    """Logits (x, 0.55 + 0 x) of the points (x, .): class 1, or class 0 after x is raised."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([np.array([[1, 0], [0, 0]], np.float32), np.array([0, 0.55], np.float32)])
    return Source('N', model)


def test_the_printed_numbers(tmp_path, capsys):
    evaluator(None, [1, 1, 1, 0]).evaluate(network())
    lines = capsys.readouterr().out.splitlines()
    # Class 1 leads by 0.05, and the attack moves x by 0.1 against each label.
    wrong, right = np.log1p(np.exp(0.05)), np.log1p(np.exp(-0.05))
    beaten, still_wrong = np.log1p(np.exp(0.05)), np.log1p(np.exp(0.15))
    assert lines[0] == 'N: four points, n = 4'
    low, high = wilson_interval(3, 4)
    assert lines[1] == f'natural: 75.00% (95% interval {low:.2%} to {high:.2%})'
    assert lines[2].startswith('adversarial: 0.00% (95% interval 0.00% to ')
    assert lines[3] == f'avg nat loss: {(3 * right + wrong) / 4:.4f}'
    assert lines[4] == f'avg adv loss: {(3 * beaten + still_wrong) / 4:.4f}'
    assert os.listdir(tmp_path) == []


def summarized(folder):
    """Tag -> its steps and values."""
    found = {}
    for path in sorted(folder.iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = tf.make_ndarray(value.tensor).item()
                found.setdefault(value.tag, []).append((event.step, round(number, 4)))
    return found


def test_summaries(tmp_path):
    watched = evaluator(tmp_path / 'eval', [1, 1, 1, 0])
    watched.evaluate(network(), step=300)
    watched.evaluate(network(), step=600)
    found = summarized(tmp_path / 'eval')
    natural = round((3 * np.log1p(np.exp(-0.05)) + np.log1p(np.exp(0.05))) / 4, 4)
    assert found.pop('accuracy nat') == [(300, 0.75), (600, 0.75)]
    assert found.pop('xent nat') == [(300, natural), (600, natural)]
    assert found.pop('accuracy adv') == found.pop('accuracy adv eval') == [(300, 0), (600, 0)]
    assert found.pop('xent adv') == found.pop('xent adv eval')
    assert found == {}


def test_a_checkpoint_that_is_evaluated_again_is_summarized_once(tmp_path):
    first = evaluator(tmp_path, [1, 1, 1, 0])
    first.evaluate(network(), step=300)
    first.evaluate(network(), step=600)
    del first
    again = evaluator(tmp_path, [0, 0, 1, 0])
    again.evaluate(network(), step=600)
    again.evaluate(network(), step=900)
    assert summarized(tmp_path)['accuracy nat'] == [(300, 0.75), (600, 0.25), (900, 0.25)]


def test_summaries_that_another_evaluation_is_writing_stay(tmp_path):
    first = evaluator(tmp_path, [1, 1, 1, 0])
    first.evaluate(network(), step=300)
    evaluator(tmp_path, [0, 0, 1, 0]).evaluate(network(), step=300)
    first.evaluate(network(), step=600)
    found = summarized(tmp_path)['accuracy nat']
    assert sorted(found) == [(300, 0.25), (300, 0.75), (600, 0.75)]


def test_a_folder_that_takes_no_summaries(tmp_path):
    (tmp_path / 'eval').write_text('in the way')
    with pytest.raises(UserError, match='cannot write summaries to .*eval') as caught:
        evaluator(tmp_path / 'eval', [0])
    assert '\n' not in str(caught.value)
