"""Several hosts evaluate as one does; the hosts are threads, which exchange results in memory."""

import dataclasses
import threading

import keras
import numpy as np
import pytest

from common.attacks import PGD, CompiledAttack, fgsm
from common.data.batches import Examples
from common.distribution import Hosts
from common.errors import UserError
from common.evaluation import accuracy, cascade, images_on_disk, resumable
from common.evaluation.accuracy import Judge, natural_accuracy
from common.evaluation.cascade import compiled_accuracy, worst_case
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.evaluation.resumable import PartialResult
from common.evaluation.verdict import Stage
from common.losses import CWMargin
from common.threat_model import LinfBall

BALL, N, SIZE, RESTARTS = LinfBall(0.12), 50, 8, 3
BATCHES = -(-N // SIZE)
CRAFTING = Crafting(SIZE, seed=3)
ATTACK = PGD(BALL, 4, 0.04, CWMargin(50))
FIELDS = ('broken_by', 'restart', 'predictions', 'losses', 'gradients')


@dataclasses.dataclass(frozen=True)
class Thread(Hosts):
    """A host that exchanges results with the others in memory."""

    changed: threading.Condition = None
    said: dict = None  # round and host -> values
    stopped: list = None  # hosts
    rounds: list = dataclasses.field(default_factory=list)

    def sum(self, values):
        self.rounds.append(len(self.rounds))
        everybody = [(self.rounds[-1], index) for index in range(self.count)]
        with self.changed:
            self.said[everybody[self.index]] = np.asarray(values, np.float64)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.stopped or self.said.keys() >= {*everybody}, 60)
            if not self.said.keys() >= {*everybody}:
                raise UserError(f'hosts {self.stopped} have stopped')
            return sum(self.said[one] for one in everybody)


@pytest.fixture
def on_hosts(monkeypatch):
    """(count, work) -> what each host's work() returned or raised."""
    here = threading.local()
    for module in (accuracy, cascade, images_on_disk, resumable):
        monkeypatch.setattr(module, 'hosts', lambda: getattr(here, 'hosts', Hosts()))
    monkeypatch.setattr(resumable, '_SECONDS_BETWEEN_WRITES', -1.0)

    def run(count, work):
        changed, said, stopped, results = threading.Condition(), {}, [], [None] * count

        def host(index):
            here.hosts = Thread(count, index, None, changed, said, stopped)
            try:
                results[index] = work(index)
            except BaseException as error:
                results[index] = error
                with changed:
                    stopped.append(index)
                    changed.notify_all()

        threads = [threading.Thread(target=host, args=(index,)) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        return results

    return run


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
    x = np.random.default_rng(0).uniform(0, 1, (N, 3, 3, 1)).astype(np.float32)
    y = np.argmax(network(x), axis=1).astype(np.int32)
    y[7] = (y[7] + 1) % 4  # one is wrong from the start
    return Examples(x, y, 'x')


@pytest.fixture(scope='module')
def evaluate(network, examples):
    """The accuracy under restarts; attack and network are compiled once."""
    perturb, judge = CompiledAttack(ATTACK, network), Judge(network)

    def run(on_batch=None, partial=None):
        return compiled_accuracy(
            perturb,
            judge,
            examples,
            crafting=CRAFTING,
            restarts=RESTARTS,
            on_batch=on_batch,
            partial=partial,
        )

    return run


@pytest.fixture(scope='module')
def alone(evaluate):
    """What one host finds, and its batches."""
    batches = []
    return evaluate(lambda index, _: batches.append(tuple(index))), batches


def assert_same(outcome, expected):
    np.testing.assert_array_equal(outcome.predictions, expected.predictions)
    np.testing.assert_array_equal(outcome.correct, expected.correct)
    assert (outcome.loss, outcome.gradients) == (expected.loss, expected.gradients)


@pytest.mark.parametrize('count', [2, 3, 9])  # also more hosts than batches
def test_each_batch_is_attacked_by_one_host(on_hosts, evaluate, alone, count):
    batches = [[] for _ in range(count)]
    outcomes = on_hosts(
        count, lambda host: evaluate(lambda index, _: batches[host].append(tuple(index)))
    )
    for outcome in outcomes:
        assert_same(outcome, alone[0])
    assert sorted(sum(batches, [])) == sorted(alone[1])
    in_first_run = [sum(batch in alone[1][:BATCHES] for batch in own) for own in batches]
    assert max(in_first_run) - min(in_first_run) <= 1


def test_a_cascade_on_two_hosts_is_that_of_one(on_hosts, network, examples):
    stages = (Stage('fgsm_rs', fgsm(BALL, random_start=True)), Stage('pgd', ATTACK, restarts=2))
    judge = Judge(network)

    def run(_=None):
        return worst_case(stages, network, judge, examples, crafting=CRAFTING)

    expected = run()
    assert {0, 1, -1} <= set(expected.broken_by)
    for verdict in on_hosts(2, run):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(verdict, name), getattr(expected, name))
    natural = natural_accuracy(judge, examples, batch_size=SIZE)
    for outcome in on_hosts(3, lambda _: natural_accuracy(judge, examples, batch_size=SIZE)):
        assert outcome.loss == natural.loss and outcome.accuracy == natural.accuracy
        np.testing.assert_array_equal(outcome.predictions, natural.predictions)


@pytest.mark.parametrize('what', ['seed', 'images', 'key', 'natural'])
def test_hosts_that_do_not_do_the_same_are_refused(on_hosts, network, examples, tmp_path, what):
    perturb, judge = CompiledAttack(ATTACK, network), Judge(network)

    def run(host):
        def differs(name):
            return host if what == name else 0

        if what == 'natural':
            return natural_accuracy(judge, examples, batch_size=SIZE + host)
        return compiled_accuracy(
            perturb,
            judge,
            examples.subset(slice(0, None, 2)) if differs('images') else examples,
            crafting=Crafting(SIZE, seed=differs('seed')),
            partial=PartialResult(tmp_path / 'state.npz', f'key{differs("key")}'),
        )

    for error in on_hosts(2, run):
        assert isinstance(error, UserError)
        assert 'expected the same' in str(error) and 'number 1 of TF_CONFIG' in str(error)
    assert list(tmp_path.iterdir()) == []


def stopped_after(batches, seen):
    """An on_batch that raises KeyboardInterrupt after this many batches of a host."""

    def on_batch(index, x_adv):
        if len(seen) == batches:
            raise KeyboardInterrupt
        seen.append(tuple(index))

    return on_batch


# Of 7 batches in the first run: before any, within, at the end of host 1's share, in a later run.
@pytest.mark.parametrize('done', [0, 1, 3, 4])
@pytest.mark.parametrize('later', [1, 2, 3])  # hosts
def test_what_a_lost_host_has_not_done_is_done_again(
    on_hosts, evaluate, alone, tmp_path, done, later
):
    def partial():
        return PartialResult(tmp_path / 'state.npz', 'key')

    first = [[], []]
    lost = on_hosts(
        2, lambda host: evaluate(stopped_after(done if host else 99, first[host]), partial())
    )
    assert isinstance(lost[0], UserError) and isinstance(lost[1], KeyboardInterrupt)
    assert {path.name for path in tmp_path.iterdir()} >= {'state.npz'}
    rest = [[] for _ in range(later)]
    outcomes = on_hosts(
        later, lambda host: evaluate(lambda index, _: rest[host].append(tuple(index)), partial())
    )
    for outcome in outcomes:
        assert_same(outcome, alone[0])
    both = sum(first, []) + sum(rest, [])
    assert set(both) == set(alone[1])
    if later > 1:  # one host alone does not see the file of the other
        assert len(both) == len(alone[1])


def test_a_host_whose_file_is_lost_gets_the_state_of_the_others(
    on_hosts, evaluate, alone, tmp_path
):
    def partial():
        return PartialResult(tmp_path / 'state.npz', 'key')

    on_hosts(2, lambda host: evaluate(stopped_after(4 if host else 99, []), partial()))
    (tmp_path / 'state.npz').unlink()  # the first host's, so that the second one is ahead
    rest = [[], []]
    outcomes = on_hosts(
        2, lambda host: evaluate(lambda index, _: rest[host].append(tuple(index)), partial())
    )
    for outcome in outcomes:
        assert_same(outcome, alone[0])
    assert not set(sum(rest, [])) & set(alone[1][:BATCHES])  # the first run is not done again
    finished = on_hosts(2, lambda _: evaluate(pytest.fail, partial()))
    assert_same(finished[1], alone[0])
    partial().remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('lost', [False, True])
def test_hosts_share_the_file_of_images(on_hosts, evaluate, examples, tmp_path, lost, capsys):
    def partial():
        return PartialResult(tmp_path / 'state.npz', 'key')

    def run(host, on_batch=None):
        images = ImagesOnDisk(partial(), examples)
        evaluate(on_batch or images.keep, partial())
        return np.array(images.images)

    worst = np.array(examples.x)
    evaluate(lambda index, x_adv: worst.__setitem__(index, x_adv))

    def interrupted(host):
        images, seen = ImagesOnDisk(partial(), examples), []

        def keep(index, x_adv):
            stopped_after(2 if host else 99, seen)(index, x_adv)
            images.keep(index, x_adv)

        evaluate(keep, partial())

    on_hosts(2, interrupted)
    if lost:
        (tmp_path / 'state.images').write_bytes(b'')
    for images in on_hosts(2, run):
        np.testing.assert_array_equal(images, worst)
    assert ('starting over' in capsys.readouterr().err) == lost


def test_a_folder_that_hosts_do_not_share_is_refused(on_hosts, examples, tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
    found = on_hosts(
        2,
        lambda host: ImagesOnDisk(PartialResult(tmp_path / 'ab'[host] / 's.npz', 'key'), examples),
    )
    for error in found:
        assert 'expected a folder that all 2 hosts share' in str(error)
