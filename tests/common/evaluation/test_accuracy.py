"""Accuracy: intervals, counts, restarts on survivors, resumption, and precision."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, CompiledAttack, Restarts, TargetedEach
from common.data.batches import Examples
from common.errors import BadInput, UserError
from common.evaluation import resumable as partial_module
from common.evaluation.accuracy import Judge, Outcome, natural_accuracy
from common.evaluation.cascade import adversarial_accuracy, compiled_accuracy
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.losses import CrossEntropy
from common.networks.logits import DTYPES
from common.statistics import wilson_interval
from common.threat_model import LinfBall
from common.transfer import Source, transfer_accuracies, transfer_accuracy

BALL = LinfBall(0.2)
N, BATCH, CLASSES = 23, 5, 3  # four full batches and one of 3
SHAPE = (3, 3, 1)


def network(seed=0, name='tiny'):
    def init(i):
        return keras.initializers.RandomNormal(stddev=1.0, seed=10 * seed + i)

    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(2.0, offset=-1.0),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation='tanh', kernel_initializer=init(1)),
            keras.layers.Dense(CLASSES, kernel_initializer=init(2)),
        ],
        name=name,
    )


@pytest.fixture(scope='module')
def model():
    return network()


@pytest.fixture(scope='module')
def examples(model):
    """Images with the network's predictions as labels, except for two wrong ones."""
    x = np.random.default_rng(3).uniform(size=(N, *SHAPE)).astype(np.float32)
    y = np.argmax(model(x), axis=1).astype(np.int32)
    y[[1, -1]] = (y[[1, -1]] + 1) % CLASSES
    return Examples(x, y, 'made up')


ATTACK = PGD(BALL, 3, 0.02)  # cannot cross the ball, so that its start matters


def evaluate(model, examples, attack=ATTACK, crafting=Crafting(BATCH, seed=7), **settings):
    return adversarial_accuracy(attack, model, model, examples, crafting=crafting, **settings)


@pytest.mark.parametrize(
    'successes, n, low, high',
    [
        # The first four are the examples of Newcombe (1998); the last was computed with 50 digits.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
        (9276, 10_000, 0.9224, 0.9325),
    ],
)
def test_interval_has_the_published_values(successes, n, low, high):
    np.testing.assert_allclose(wilson_interval(successes, n), (low, high), rtol=0, atol=5e-5)


@pytest.mark.parametrize('n', [1, 2, 10, 10_000])
def test_interval_stays_in_the_unit_interval_and_holds_the_proportion(n):
    for successes in {0, 1, n // 2, n - 1, n}:
        low, high = wilson_interval(successes, n)
        assert 0 <= low < high <= 1
        assert low - 1e-12 <= successes / n <= high + 1e-12
        mirrored = wilson_interval(n - successes, n)
        np.testing.assert_allclose((1 - high, 1 - low), mirrored, atol=1e-12)


def test_outcome_counts():
    outcome = Outcome(np.array([True, False, True, True]), np.arange(4), loss=0.5, seconds=1.0)
    assert (outcome.n, outcome.accuracy, outcome.gradients) == (4, 0.75, 0)
    assert outcome.interval == wilson_interval(3, 4)


def test_natural_accuracy_judges_every_image(model, examples):
    outcome = natural_accuracy(Judge(model), examples, batch_size=BATCH)
    expected = np.ones(N, bool)
    expected[[1, -1]] = False  # the last one lies in the short batch
    np.testing.assert_array_equal(outcome.correct, expected)
    np.testing.assert_array_equal(outcome.predictions, np.argmax(model(examples.x), axis=1))
    assert (outcome.n, outcome.gradients) == (N, 0)
    assert outcome.accuracy == 21 / 23
    loss = np.mean(CrossEntropy()(model(examples.x), examples.y))
    np.testing.assert_allclose(outcome.loss, loss, rtol=1e-6)


@pytest.mark.parametrize('batch_size', [1, 7, 23, 1000])
def test_natural_accuracy_does_not_depend_on_the_batch_size(model, examples, batch_size):
    outcome = natural_accuracy(Judge(model), examples, batch_size=batch_size)
    assert outcome.accuracy == 21 / 23 and outcome.n == N


def test_adversarial_accuracy_judges_every_image_that_it_hands_out(model, examples):
    x_adv, seen = np.full(examples.x.shape, np.nan, np.float32), []

    def on_batch(index, images):
        x_adv[index] = images
        seen.extend(index)

    outcome = evaluate(model, examples, on_batch=on_batch)
    assert sorted(seen) == list(range(N))
    assert BALL.contains(x_adv, examples.x, tolerance=1e-6).numpy().all()
    logits = model(x_adv)
    np.testing.assert_array_equal(outcome.correct, np.argmax(logits, axis=1) == examples.y)
    np.testing.assert_allclose(outcome.loss, np.mean(CrossEntropy()(logits, examples.y)), rtol=1e-5)
    assert 0 < outcome.accuracy < 21 / 23
    assert (outcome.n, outcome.gradients) == (N, N * 3)
    assert outcome.seconds > 0


def test_the_seed_decides(model, examples):
    def images(seed):
        x_adv = np.empty(examples.x.shape, np.float32)
        evaluate(model, examples, crafting=Crafting(BATCH, seed), on_batch=x_adv.__setitem__)
        return x_adv

    first = images(7)
    np.testing.assert_array_equal(first, images(7))
    assert (first != images(8)).mean() > 0.5
    # Batches have randomness of their own: the starts of two images at the same place differ.
    still = Examples(np.repeat(examples.x[:1], N, axis=0), np.repeat(examples.y[:1], N), 'one')
    starts = np.empty(examples.x.shape, np.float32)
    evaluate(model, still, PGD(BALL, 0, 0.1), on_batch=starts.__setitem__)
    assert len(np.unique(starts, axis=0)) == N


def test_every_restart_starts_elsewhere(model, examples):
    standing = examples.subset(slice(2, 7))
    batches = []
    evaluate(
        model,
        standing,
        Restarts(PGD(LinfBall(1e-6), 0, 0.0), 3),
        on_batch=lambda _, x_adv: batches.append(x_adv),
    )
    assert len(batches) == 3
    assert not any(np.array_equal(batches[i], batches[i - 1]) for i in range(3))


def test_restarts_attack_survivors_only_and_count_what_they_spend(model, examples):
    restarts, batches = 4, []
    outcome = evaluate(
        model,
        examples,
        Restarts(ATTACK, restarts),
        on_batch=lambda index, x_adv: batches.append((index, x_adv)),
    )
    standing, spent, batches = np.ones(N, bool), 0, iter(batches)
    survivors = []
    for _ in range(restarts):
        broken = []
        expected = np.flatnonzero(standing)
        for first in range(0, len(expected), BATCH):
            index, x_adv = next(batches)
            np.testing.assert_array_equal(index, expected[first : first + BATCH])
            broken.extend(index[np.argmax(model(x_adv), axis=1) != examples.y[index]])
            spent += 3 * len(index)
        standing[broken] = False
        survivors.append(standing.sum())
    assert next(batches, None) is None
    assert survivors[0] > survivors[-1] > 0  # later restarts really broke some more
    np.testing.assert_array_equal(outcome.correct, standing)
    assert outcome.gradients == spent < restarts * N * 3


def test_restarts_stop_when_nothing_stands(model, examples):
    wrong = dataclasses.replace(examples, y=(examples.y + 1) % CLASSES).subset(slice(2, 20))
    outcome = evaluate(model, wrong, Restarts(PGD(LinfBall(0.0), 1, 0.0), 50))
    assert (outcome.accuracy, outcome.gradients) == (0.0, 18)


def test_more_restarts_never_raise_the_accuracy_and_go_on_from_fewer(model, examples):
    outcomes = [evaluate(model, examples, Restarts(ATTACK, r)).correct for r in (1, 2, 3, 5)]
    for fewer, more in zip(outcomes, outcomes[1:], strict=False):
        assert not np.any(more & ~fewer)
    assert outcomes[-1].sum() < outcomes[0].sum()


def test_one_restart_is_the_attack_itself(model, examples):
    alone, once = evaluate(model, examples), evaluate(model, examples, Restarts(ATTACK, 1))
    np.testing.assert_array_equal(alone.correct, once.correct)
    assert (alone.loss, alone.gradients) == (once.loss, once.gradients)


def test_black_box_crafts_on_the_source_and_judges_on_the_target(model, examples):
    source = network(seed=4)
    batches = []
    outcome = adversarial_accuracy(
        ATTACK,
        source,
        model,
        examples,
        crafting=Crafting(N, seed=7),
        on_batch=lambda _, x_adv: batches.append(x_adv),
    )
    np.testing.assert_array_equal(
        outcome.correct, np.argmax(model(batches[0]), axis=1) == examples.y
    )
    white = []
    evaluate(
        source,
        examples,
        crafting=Crafting(N, seed=7),
        on_batch=lambda _, x_adv: white.append(x_adv),
    )
    np.testing.assert_array_equal(batches[0], white[0])


def test_shorter_batches_are_not_traced_again(model, examples):
    calls = []

    def counted(x):
        calls.append(None)
        return model(x)

    adversarial_accuracy(
        Restarts(ATTACK, 3),
        counted,
        model,
        examples,
        crafting=Crafting(BATCH),
        on_batch=lambda *_: calls.append('batch'),
    )
    first = calls.index('batch')
    assert first > 0 and None not in calls[first:]


def test_no_images_are_refused(model, examples):
    nothing = examples.subset(slice(0))
    for call in (
        lambda: natural_accuracy(Judge(model), nothing, batch_size=BATCH),
        lambda: evaluate(model, nothing),
    ):
        with pytest.raises(UserError, match='expected at least one image .* found none'):
            call()


@pytest.mark.parametrize('bad_image', [0, N - 1])
def test_logits_that_are_no_numbers_are_refused(model, examples, bad_image):
    x = examples.x.copy()
    x[bad_image] = np.nan
    damaged = dataclasses.replace(examples, x=x)
    for call in (
        lambda: natural_accuracy(Judge(model), damaged, batch_size=BATCH),
        lambda: evaluate(model, damaged),
        lambda: evaluate(model, damaged, Restarts(ATTACK, 2)),
    ):
        with pytest.raises(UserError, match='expected finite pixels in .*; found NaN') as caught:
            call()
        assert '\n' not in str(caught.value)


def test_an_attack_that_makes_nan_of_images_is_not_blamed_on_the_weights(model, examples):
    @dataclasses.dataclass(frozen=True)
    class Broken:
        gradients = 1

        def perturb(self, logits_fn, x, y, *, seed):
            return x + np.nan

    with pytest.raises(UserError, match='images that hold NaN themselves.*gradient that is NaN'):
        evaluate(model, examples, Broken())


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """Makes a PartialResult that writes after every batch."""
    monkeypatch.setattr(partial_module, '_SECONDS_BETWEEN_WRITES', -1.0)
    return lambda key='key': PartialResult(tmp_path / 'results' / 'state.npz', key)


def interrupted_after(batches):
    """An on_batch that raises KeyboardInterrupt after a number of batches are on disk."""
    done = []

    def on_batch(index, x_adv):
        if len(done) == batches:
            raise KeyboardInterrupt
        done.append(index)

    return on_batch


@pytest.fixture(scope='module')
def uninterrupted(model, examples):
    batches = []
    outcome = evaluate(
        model, examples, Restarts(ATTACK, 4), on_batch=lambda index, _: batches.append(index)
    )
    return outcome, batches


# Of 5 batches in the first restart and fewer later: inside and on the border of a restart.
@pytest.mark.parametrize('done', [0, 1, 4, 5, 6])
def test_an_interrupted_evaluation_goes_on_where_it_stopped(
    done, model, examples, on_disk, uninterrupted
):
    attack = Restarts(ATTACK, 4)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, examples, attack, partial=on_disk(), on_batch=interrupted_after(done))
    rest = []
    outcome = evaluate(
        model, examples, attack, partial=on_disk(), on_batch=lambda index, _: rest.append(index)
    )
    expected, batches = uninterrupted
    np.testing.assert_array_equal(outcome.correct, expected.correct)
    np.testing.assert_array_equal(outcome.predictions, expected.predictions)
    np.testing.assert_array_equal(outcome.correct, outcome.predictions == examples.y)
    assert (outcome.loss, outcome.gradients) == (expected.loss, expected.gradients)
    assert list(map(list, rest)) == list(map(list, batches[done:]))


def test_after_a_kill_it_goes_on_from_whatever_state_is_on_disk(model, examples, on_disk, tmp_path):
    path, states, handed_out = tmp_path / 'results' / 'state.npz', [], []
    perturb, judge = CompiledAttack(ATTACK, model), Judge(model)

    def run(on_batch):
        return compiled_accuracy(
            perturb,
            judge,
            examples,
            crafting=Crafting(BATCH),
            restarts=4,
            on_batch=on_batch,
            partial=on_disk(),
        )

    def remember(index, x_adv):
        states.append(path.read_bytes() if path.exists() else None)  # before this batch
        handed_out.append((index, x_adv))

    whole = run(remember)
    assert len(states) > 8
    for done, state in enumerate(states):  # killed before batch number `done` was recorded
        path.unlink()
        if state is not None:
            path.write_bytes(state)
        rest = []
        resumed = run(lambda *batch, rest=rest: rest.append(batch))
        np.testing.assert_array_equal(resumed.predictions, whole.predictions)
        np.testing.assert_array_equal(resumed.correct, whole.correct)
        assert (resumed.loss, resumed.gradients) == (whole.loss, whole.gradients)
        for found, expected in zip(rest, handed_out[done:], strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


def test_a_finished_evaluation_is_not_repeated(model, examples, on_disk, uninterrupted):
    attack = Restarts(ATTACK, 4)
    evaluate(model, examples, attack, partial=on_disk())
    outcome = evaluate(model, examples, attack, partial=on_disk(), on_batch=pytest.fail)
    np.testing.assert_array_equal(outcome.correct, uninterrupted[0].correct)
    assert outcome.gradients == uninterrupted[0].gradients


def test_results_of_another_version_are_not_used(model, examples, on_disk, capsys):
    on_disk().write({'standing': np.ones(N, bool), 'restart': 1})
    outcome = evaluate(model, examples, partial=on_disk())
    assert 'form of another version of this program; starting over' in capsys.readouterr().err
    np.testing.assert_array_equal(outcome.correct, evaluate(model, examples).correct)


def test_results_under_another_key_are_not_used(model, examples, on_disk, capsys):
    evaluate(model, examples, PGD(BALL, 0, 0.1), partial=on_disk('other'))
    assert 'starting over' not in capsys.readouterr().err
    outcome = evaluate(model, examples, partial=on_disk())
    assert 'holds results of another network or setting; starting over' in capsys.readouterr().err
    np.testing.assert_array_equal(outcome.correct, evaluate(model, examples).correct)
    assert outcome.gradients == 3 * N


STATE = {'standing': np.array([True, False]), 'restart': 3, 'seconds': 0.5}


def test_partial_results_come_back_as_they_were(on_disk):
    assert on_disk().read(default={'restart': 9}) == {'restart': 9}
    on_disk().write(STATE)
    state = on_disk().read(default=STATE)
    np.testing.assert_array_equal(state['standing'], STATE['standing'])
    assert (state['restart'], state['seconds']) == (3, 0.5)
    assert isinstance(state['restart'], int) and isinstance(state['seconds'], float)
    on_disk().remove()
    on_disk().remove()
    assert on_disk().read(default={'restart': 9}) == {'restart': 9}


def damaged_versions(good: bytes):
    yield from (good[:length] for length in range(0, len(good), 7))
    for position in range(len(good)):
        for bit in (0, 3, 7):
            yield good[:position] + bytes([good[position] ^ 1 << bit]) + good[position + 1 :]


def test_damaged_partial_results_are_not_used(on_disk, tmp_path, capsys):
    on_disk().write(STATE)
    path, default = tmp_path / 'results' / 'state.npz', object()
    for content in damaged_versions(path.read_bytes()):
        path.write_bytes(content)
        state = on_disk().read(default=dict.fromkeys(STATE, default))
        if state['restart'] is not default:  # the damage was in a byte that has no meaning
            np.testing.assert_array_equal(state['standing'], STATE['standing'])
            assert (state['restart'], state['seconds']) == (3, 0.5)
        else:
            assert 'starting over' in capsys.readouterr().err


@pytest.mark.parametrize(
    'write',
    [
        lambda path: np.save(path.open('wb'), np.zeros(3)),
        lambda path: np.savez(path.open('wb'), key=np.array('key')),
        lambda path: path.write_text('hello'),
        lambda path: path.mkdir(),
    ],
    ids=['an array', 'nothing but the key', 'text', 'a folder'],
)
def test_files_of_another_kind_are_no_partial_results(write, on_disk, tmp_path):
    path = tmp_path / 'results' / 'state.npz'
    path.parent.mkdir()
    write(path)
    assert on_disk().read(default={'restart': 9}) == {'restart': 9}


def test_partial_results_are_written_now_and_then_only(tmp_path):
    partial = PartialResult(tmp_path / 'state.npz', 'key')
    partial.maybe_write(STATE)
    assert not (tmp_path / 'state.npz').exists()


def test_batches_at_a_time_change_nothing(model, examples, monkeypatch):
    outcomes = []
    for count in (1, 3):
        monkeypatch.setattr(
            'common.evaluation.concurrent_batches.workers', lambda count=count: count
        )
        seen = []
        outcomes.append(
            (
                adversarial_accuracy(
                    Restarts(ATTACK, 2),
                    model,
                    model,
                    examples,
                    crafting=Crafting(BATCH, seed=1),
                    on_batch=lambda index, x_adv, seen=seen: seen.append((index, x_adv)),
                ),
                seen,
            )
        )
    (one, first), (three, second) = outcomes
    np.testing.assert_array_equal(one.correct, three.correct)
    assert (one.loss, one.gradients) == (three.loss, three.gradients)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def near_tie():
    """Two classes whose logits differ by less than bfloat16 shows, on every image alike."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(2, kernel_initializer='zeros'),
        ]
    )
    model.layers[-1].bias.assign([256.0, 256.4])
    return Source('near tie', model)


def test_what_is_crafted_in_bfloat16_is_judged_in_float32(examples):
    source = near_tie()
    ones = dataclasses.replace(examples, y=np.ones(N, np.int32))
    outcome = transfer_accuracy(
        ATTACK, source, source, ones, crafting=Crafting(BATCH, dtype='bfloat16')
    )
    assert outcome.accuracy == 1.0  # in bfloat16 both logits are 256, and class 0 would win


def test_by_xla_it_is_the_same_attack(model, examples, monkeypatch):
    made = []
    monkeypatch.setattr(
        'common.transfer.CompiledAttack',
        lambda attack, logits_fn: made.append(logits_fn) or CompiledAttack(attack, logits_fn),
    )
    source = Source('tiny', model)
    plain, compiled = (
        transfer_accuracy(
            ATTACK, source, source, examples, crafting=Crafting(BATCH, jit_compile=xla)
        )
        for xla in (False, True)
    )
    assert [logits_fn.jit_compile for logits_fn in made] == [False, True]
    np.testing.assert_array_equal(plain.predictions, compiled.predictions)
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-4)


@dataclasses.dataclass(frozen=True)
class PaintTarget:
    """An attack whose images show the class it aims at."""

    gradients = 1

    def perturb(self, logits_fn, x, y, *, seed):
        return tf.broadcast_to(tf.cast(y, tf.float32)[:, None, None, None], tf.shape(x))


@pytest.mark.parametrize('dtype', DTYPES)
def test_the_worst_of_several_runs_is_chosen_in_float32(dtype):
    # Painted 1, logits (256.4, 256, 0); painted 2, (256.4, 0, 256.8): only the second image of
    # class 0 is misclassified. In bfloat16 both margins are 0.
    model = keras.Sequential(
        [keras.Input((1, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(3, name='dense')]
    )
    model.layers[-1].kernel.assign([[0.0, -256.0, 256.8]])
    model.layers[-1].bias.assign([256.4, 512.0, -256.8])
    source = Source('near tie', model)
    black = Examples(np.zeros((4, 1, 1, 1), np.float32), np.zeros(4, np.int32), 'black')
    outcome = transfer_accuracy(
        TargetedEach(PaintTarget(), 3), source, source, black, crafting=Crafting(4, dtype=dtype)
    )
    assert outcome.accuracy == 0.0


def test_several_targets_are_judged_on_what_was_crafted_once(model, examples, monkeypatch):
    source, targets = (
        Source('source', model),
        [Source('source', model), Source('another', network(seed=4))],
    )
    alone = [
        transfer_accuracy(ATTACK, source, target, examples, crafting=Crafting(BATCH, seed=3))
        for target in targets
    ]
    crafted, craft = [], CompiledAttack.craft
    monkeypatch.setattr(
        CompiledAttack,
        'craft',
        lambda self, x, y, *, seed: (crafted.append(len(x)), craft(self, x, y, seed=seed))[1],
    )
    together = transfer_accuracies(
        ATTACK, source, targets, examples, crafting=Crafting(BATCH, seed=3)
    )
    assert sum(crafted) == N
    for outcome, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(outcome.predictions, expected.predictions)
        assert outcome.loss == expected.loss


def test_several_targets_face_their_own_restarts(model, examples):
    source, attack = Source('source', model), Restarts(ATTACK, 2)
    targets = [Source('source', model), Source('another', network(seed=4))]
    together = transfer_accuracies(attack, source, targets, examples, crafting=Crafting(BATCH))
    for target, outcome in zip(targets, together, strict=True):
        alone = transfer_accuracy(attack, source, target, examples, crafting=Crafting(BATCH))
        np.testing.assert_array_equal(outcome.correct, alone.correct)


def test_transfer_goes_on_with_the_same_experiment_only(model, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(partial_module, '_SECONDS_BETWEEN_WRITES', -1.0)
    me, other = Source('me', model), Source('other', network(seed=4))

    def batches(attack=ATTACK, source=me, target=me, examples=examples, **crafting):
        done = []
        transfer_accuracy(
            attack,
            source,
            target,
            examples,
            crafting=Crafting(**{'batch_size': BATCH, 'seed': 7} | crafting),
            partial_folder=tmp_path,
            on_batch=lambda index, _: done.append(index),
        )
        return len(done)

    assert batches() == 5
    assert batches() == 0
    assert batches(source=Source('renamed', model)) == 0  # what counts are the weights
    assert batches(seed=8) == 5
    assert batches(attack=PGD(BALL, 2, 0.02)) == 5
    assert batches(source=other) == 5
    assert batches(source=other, target=other) == 5
    assert batches(dtype='bfloat16') == 5
    assert batches(batch_size=23) == 1
    assert batches(examples=dataclasses.replace(examples, name='others')) == 5
    assert batches(examples=examples.subset(slice(10))) == 2
    assert batches(examples=examples.subset(slice(10, 20))) == 2
    assert batches() == 0  # none of these took the first one's place
    monkeypatch.setattr(partial_module.PartialResult, 'write', None)
    assert batches() == 0  # nothing is written again, so the folder may be read-only


def test_nothing_is_left_beside_the_results(model, examples, on_disk, tmp_path):
    evaluate(model, examples, partial=on_disk())
    assert list((tmp_path / 'results').iterdir()) == [pathlib.Path(tmp_path, 'results/state.npz')]


def test_judge_answers_with_predictions_and_losses(model, examples):
    predictions, losses = Judge(model)(tf.constant(examples.x), tf.constant(examples.y))
    assert predictions.dtype == np.int32 and losses.dtype == np.float32
    np.testing.assert_array_equal(predictions, np.argmax(model(examples.x), axis=1))
    expected = CrossEntropy()(model(examples.x), examples.y)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)


def test_losses_below_the_rounding_of_probabilities_are_exact():
    logits = tf.constant([[20.0, 0.0, 0.0], [0.0, 300.0, 0.0]])
    _, losses = Judge(lambda x: logits)(logits, tf.constant([0, 0]))
    np.testing.assert_allclose(losses, [2 * np.exp(-20.0), 300.0], rtol=1e-5)


@pytest.mark.parametrize('n', [1, 7, 1000, 10_000])
def test_the_interval_holds_accuracies_of_0_and_1(n):
    assert wilson_interval(0, n)[0] == 0
    assert wilson_interval(n, n)[1] == 1


def test_partial_results_in_the_home_folder_are_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    partial = PartialResult.of('~/results', 'x', 1)
    partial.write({'a': 1})
    assert partial.read({'a': 0}) == {'a': 1}


def test_examples_that_would_give_a_wrong_number_are_refused(model, examples):
    def changed(**changes):
        return dataclasses.replace(examples, **changes)

    judge = Judge(model)
    for wrong, message in (
        (changed(x=examples.x * 255), 'expected pixels from .* found'),
        (changed(y=examples.y + 100), 'labels, one for each image.*; found'),
        (changed(y=examples.y - 1), 'labels, one for each image.*; found -1'),
    ):
        with pytest.raises(BadInput, match=message):
            evaluate(model, wrong)
        if wrong.x is examples.x:
            with pytest.raises(BadInput, match=message):
                natural_accuracy(judge, wrong, batch_size=BATCH)
    with pytest.raises(BadInput, match='a label for each image; found .* images and .* labels'):
        changed(y=examples.y[1:])
