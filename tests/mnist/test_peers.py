"""The cascade against ART's AutoAttack on the released network, where ART is installed."""

import numpy as np
import pytest
import tensorflow as tf

from common.evaluation.accuracy import Judge
from common.evaluation.cascade import worst_case
from common.evaluation.cascades_by_name import preset
from common.evaluation.crafting import Crafting
from common.networks.logits import ModelLogits
from mnist import dataset, model
from mnist.data_set import MNIST
from mnist.pgd_attack import challenge_pgd

N, SHARES = 500, 5


@pytest.mark.slow
@pytest.mark.parametrize('share', range(SHARES))
def test_the_cascade_leaves_no_more_than_arts_autoattack(art, real_data, share):
    # Share by share: ART's takes half an hour for each.
    pytest.importorskip('multiprocess', reason="ART's AutoAttack needs it")
    test = dataset.load('test').subset(slice(None, None, 20)).subset(slice(share, None, SHARES))
    assert len(test) == N // SHARES
    network, ball = model.load('A'), challenge_pgd().ball
    judge = Judge(ModelLogits(network))
    attack = art.module('attacks.evasion').AutoAttack(
        art.classifier(network, dataset.NUM_CLASSES),
        eps=ball.epsilon,
        eps_step=0.1,
        batch_size=len(test),
    )
    x_adv = ball.project(tf.constant(attack.generate(test.x, test.y)), tf.constant(test.x))
    natural, theirs = (
        np.mean(judge(tf.constant(x), tf.constant(test.y))[0] == test.y) for x in (test.x, x_adv)
    )
    stages = preset(
        'standard',
        ball,
        steps=MNIST.steps,
        step_size=MNIST.step_size,
        num_classes=dataset.NUM_CLASSES,
    )
    ours = worst_case(stages, ModelLogits(network), judge, test, crafting=Crafting(len(test)))
    assert 0.5 < theirs < natural
    assert ours.accuracy <= theirs
