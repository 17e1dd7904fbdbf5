"""What `--method=worst_case` does with networks and files that are not what they should be."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.attack_table import AttackSettings, AttackTable
from common.evaluation.crafting import Crafting
from common.evaluation.sanity_checks import Check
from common.evaluation.verdict import Stage
from common.evaluation.worst_case import Files, evaluate
from common.threat_model import LinfBall
from common.transfer import Sources

N, BALL = 60, LinfBall(0.1)
X = np.random.default_rng(0).uniform(0, 1, (N, 4, 4, 1)).astype(np.float32)


class Noise(keras.layers.Layer):
    """Draws random numbers at every call, in any mode."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


def network(*layers):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), *layers, keras.layers.Dense(4)]
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A network -> the verdict of a short cascade, with attack.npy and rows.json."""
    monkeypatch.setattr(
        'common.evaluation.worst_case.checks',
        lambda suspect, **_: iter([Check('a check', True, 'has been made')]),
    )

    def run(model):
        plain = model.layers[-1](X.reshape(N, -1)) if len(model.layers) > 2 else model(X)
        attacks = AttackTable(
            Examples(X, np.argmax(plain, axis=1).astype(np.int32), 'x'),
            'A',
            AttackSettings(BALL, 0.02, num_classes=4, crafting=Crafting(25)),
            Sources(lambda _: model),
        )
        stages = (Stage('pgd', PGD(BALL, 5, 0.03)), Stage('again', PGD(BALL, 8, 0.03)))
        return evaluate(
            attacks,
            stages,
            Files(
                cache=tmp_path / 'cache',
                json=str(tmp_path / 'rows.json'),
                images=str(tmp_path / 'attack.npy'),
                shape=(N, -1),
            ),
            preset='short',
            others=[],
        )

    return run


def test_the_worst_images_are_written_and_the_preset_is_told(run, tmp_path):
    judgement = run(network())
    assert np.load(tmp_path / 'attack.npy').shape == (N, 16)
    assert 0 < judgement.row.accuracy < 1 and judgement.row.preset == 'short'


def test_a_network_with_random_outputs_comes_to_its_checks(run, tmp_path):
    with pytest.raises(UserError, match='expected adversarial images.*its outputs are random'):
        run(network(Noise()))
    check, *_ = json.loads((tmp_path / 'rows.json').read_text())['checks']
    assert check['words'] == 'has been made'
    assert not (tmp_path / 'attack.npy').exists()


def test_images_outside_of_the_ball_are_not_written(run, tmp_path):
    run(network())
    (tmp_path / 'attack.npy').unlink()
    (path,) = (tmp_path / 'cache').glob('*.images')
    images = np.lib.format.open_memmap(path, mode='r+')
    images[3] += 0.5
    images.flush()
    with pytest.raises(UserError, match='1 outside of the ball'):
        run(network())
    assert not (tmp_path / 'attack.npy').exists()
