"""A cascade: which images survive, what broke the others, and how it is resumed."""

import dataclasses
import doctest
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, Square, fgsm
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation import cascade
from common.evaluation import resumable as partial_module
from common.evaluation.accuracy import Judge
from common.evaluation.cascade import adversarial_accuracy, worst_case
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.evaluation.verdict import SURVIVES, Stage, records, table
from common.losses import CWMargin
from common.threat_model import LinfBall

BALL, N = LinfBall(0.12), 50
RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def network():
    init = [keras.initializers.RandomNormal(stddev=0.9, seed=i) for i in (1, 2)]
    return keras.Sequential(
        [
            keras.Input((3, 3, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation='tanh', kernel_initializer=init[0]),
            keras.layers.Dense(4, kernel_initializer=init[1]),
        ]
    )


@pytest.fixture(scope='module')
def examples(network):
    x = RNG.uniform(0, 1, (N, 3, 3, 1)).astype(np.float32)
    y = np.argmax(network(x), axis=1).astype(np.int32)
    y[7] = (y[7] + 1) % 4  # one is wrong from the start
    return Examples(x, y, 'x')


STAGES = (
    Stage('fgsm_rs', fgsm(LinfBall(0.12), random_start=True)),
    Stage('natural', PGD(BALL, 0, 0.1, random_start=False)),
    Stage('pgd', PGD(BALL, 5, 0.04, CWMargin(50)), restarts=3),
    Stage('square', Square(BALL, 30), queries=30),
)


CRAFTING = Crafting(8, seed=3)


def run(network, examples, stages=STAGES, **settings):
    return worst_case(stages, network, Judge(network), examples, crafting=CRAFTING, **settings)


def test_the_documented_examples_run():
    result = doctest.testmod(cascade)
    assert result.failed == 0 < result.attempted


@pytest.fixture(scope='module')
def verdict(network, examples):
    return run(network, examples)


def test_the_first_stage_is_that_attack_alone(network, examples, verdict):
    alone = adversarial_accuracy(STAGES[0].attack, network, network, examples, crafting=CRAFTING)
    np.testing.assert_array_equal(alone.correct, verdict.broken_by != 0)
    assert alone.n == verdict.n == N
    assert verdict.after(0) == 1 and verdict.after(1) == alone.accuracy


def test_predictions_and_losses_are_those_of_the_last_run(network, examples, verdict):
    np.testing.assert_array_equal(verdict.survived, verdict.predictions == examples.y)
    outcome = verdict.outcome
    assert (outcome.n, outcome.accuracy, outcome.interval) == (
        N,
        verdict.accuracy,
        verdict.interval,
    )
    assert outcome.gradients == verdict.gradients.sum()
    assert outcome.loss == verdict.losses.mean() > np.log(2)


def test_every_stage_breaks_some_and_only_survivors_go_on(verdict):
    assert {0, 2, SURVIVES} <= set(verdict.broken_by)
    after = [verdict.after(stage) for stage in range(5)]
    assert after == sorted(after, reverse=True) and after[-1] == verdict.accuracy
    spent = {0: {1}, 1: {1}, 2: {1 + 5, 1 + 10, 1 + 15}, 3: {16}, SURVIVES: {16}}
    for stage, gradients in spent.items():
        assert set(verdict.gradients[verdict.broken_by == stage]) <= gradients
    np.testing.assert_array_equal(
        verdict.queries, np.where(np.isin(verdict.broken_by, (3, SURVIVES)), 30, 0)
    )
    by_pgd = verdict.broken_by == 2
    np.testing.assert_array_equal(verdict.gradients[by_pgd], 1 + 5 * (verdict.restart[by_pgd] + 1))
    assert verdict.interval[0] < verdict.accuracy < verdict.interval[1]


def test_a_stage_may_follow_another_network(network, examples):
    def backwards(x):
        return -network(x)

    pgd = PGD(BALL, 3, 0.05, random_start=False)
    stages = (STAGES[1], Stage('pgd', pgd, source='other'))
    found = run(network, examples, stages, others={'other': backwards})
    black_box = adversarial_accuracy(pgd, backwards, network, examples, crafting=Crafting(8))
    white_box = run(network, examples, (STAGES[1], Stage('pgd', pgd)))
    # To climb the other one's loss is to go down on this one's.
    assert white_box.accuracy + 0.2 < found.accuracy == black_box.accuracy


def test_the_examples_handed_out_last_are_the_worst(network, examples):
    worst, times = np.full_like(examples.x, np.nan), np.zeros(N, int)

    def keep(index, x_adv):
        worst[index] = x_adv
        times[index] += 1

    verdict = run(network, examples, on_batch=keep)
    # All in the first stage, and once more what a later one breaks.
    np.testing.assert_array_equal(times, 1 + (verdict.broken_by > 0))
    assert BALL.contains(tf.constant(worst), tf.constant(examples.x)).numpy().all()
    right = np.argmax(network(worst), axis=1) == examples.y
    np.testing.assert_array_equal(right, verdict.survived)


def test_stages_in_words_and_as_json(verdict):
    lines = table(verdict).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [stage.name for stage in STAGES]
    assert lines[-1].split()[4] == f'{verdict.accuracy:.2%}'
    for name in ('gradients', 'queries'):
        by_stage = [stage[name] for stage in records(verdict)['stages']]
        assert sum(by_stage) == getattr(verdict, name).sum()
    images = [int(line.split()[2]) for line in lines[2:]]
    assert images == [round(N * verdict.after(stage)) for stage in range(4)]
    found = json.loads(json.dumps(records(verdict)))
    assert sum(stage['broke'] for stage in found['stages']) == N - np.sum(verdict.survived)
    assert found['images']['broken_by'].count(None) == np.sum(verdict.survived)
    assert found['images']['gradients'] == verdict.gradients.tolist()


# In the first stage of 7 batches, on its border, in restarts, and in the last stage.
@pytest.mark.parametrize('batches', [1, 6, 7, 9, 14, 20])
def test_an_interrupted_cascade_goes_on_where_it_stopped(
    network, examples, verdict, batches, tmp_path, monkeypatch
):
    monkeypatch.setattr(partial_module, '_SECONDS_BETWEEN_WRITES', -1.0)
    path, calls = tmp_path / 'state.npz', []

    class Interrupting(Judge):
        def __call__(self, x, y):
            calls.append(len(y))
            if len(calls) == batches + 1:
                raise KeyboardInterrupt
            return super().__call__(x, y)

    with pytest.raises(KeyboardInterrupt):
        worst_case(
            STAGES,
            network,
            Interrupting(network),
            examples,
            crafting=CRAFTING,
            partial=PartialResult(path, 'key'),
        )
    rest = worst_case(
        STAGES,
        network,
        Interrupting(network),
        examples,
        crafting=CRAFTING,
        partial=PartialResult(path, 'key'),
    )
    for name in ('broken_by', 'restart', 'gradients', 'queries', 'predictions', 'losses'):
        np.testing.assert_array_equal(getattr(rest, name), getattr(verdict, name))


def test_a_finished_cascade_is_not_run_again(network, examples, verdict, tmp_path):
    path = tmp_path / 'state.npz'
    run(network, examples, partial=PartialResult(path, 'key'))

    def never(x):
        pytest.fail('is run again')

    again = worst_case(
        STAGES, never, None, examples, crafting=CRAFTING, partial=PartialResult(path, 'key')
    )
    np.testing.assert_array_equal(again.broken_by, verdict.broken_by)


def test_it_ends_when_nothing_survives(network, examples):
    wrong = dataclasses.replace(examples, y=(examples.y + 1) % 4)
    stages = (
        Stage('natural', PGD(BALL, 0, 0.1, random_start=False)),
        Stage('never', PGD(BALL, 1, 0.1), queries=9),
    )
    keep = np.argmax(network(examples.x), axis=1) == examples.y
    found = run(network, wrong.subset(np.flatnonzero(keep)), stages)
    assert found.accuracy == 0 == found.seconds[1]
    assert not found.gradients.any() and not found.queries.any()


def test_no_images(network, examples):
    with pytest.raises(UserError, match='found none'):
        run(network, examples.subset(slice(0)))
