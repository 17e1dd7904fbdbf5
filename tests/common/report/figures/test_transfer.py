"""Claims about transfer and gradients, on made-up networks."""

import itertools
import warnings

import numpy as np
import pytest

from common.evaluation.accuracy import Outcome
from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED
from common.report.figures import transfer
from common.statistics import Measured

NAMES = ['A', 'A_nat', 'B', 'A_prime']


def entry(adversary, network='A'):
    return {'config': {'adversary': adversary, 'network': network}}


RELEASED = {
    'A': entry('pgd'),
    'A_nat': entry('none'),
    'B': entry('none', 'B'),
    'A_prime': entry('trades'),
    'A_best': entry('pgd'),
}
TRAININGS = transfer._trainings(RELEASED, NAMES)
TARGETS = transfer._of_one_architecture(RELEASED, 'A')


def outcome(correct, n=100):
    return Outcome(np.arange(n) < correct, np.zeros(n, np.int32), 0.0, 0.0)


def matrix(names=NAMES, natural=90, left=50, cosines=0.5, zero=0):
    """`left` images survive of `natural` ones: a number, or a function of source and target."""
    of = cosines if callable(cosines) else lambda a, b: cosines
    stand = left if callable(left) else lambda a, b: left
    pairs = list(itertools.product(names, names))
    means = {(a, b): 1.0 if a == b else of(a, b) for a, b in pairs}
    return transfer._Matrix(
        list(names),
        {('none (natural)', name): outcome(natural) for name in names}
        | {(a, b): outcome(stand(a, b)) for a, b in pairs},
        {pair: Measured(mean, mean - 0.01, mean + 0.01) for pair, mean in means.items()},
        [zero] * len(names),
    )


def values(measured):
    return list(transfer._values(measured).values())


def robust(name):
    return name in ('A', 'A_prime')


def test_a_gradient_of_zero_has_no_cosine():
    a = np.array([[1, 0], [0, 1], [0, 0], [1, 0]], np.float32)
    b = np.array([[1, 0], [1, 0], [1, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(transfer.image_cosines(a, b), [1, 0])  # without the last two
    np.testing.assert_allclose(transfer.image_cosines(a[:2], b[:2]), [1, 0])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert transfer.image_cosines(a[2:], b[2:]).shape == (0,)


def test_images_left_out_of_the_cosines_stand_in_their_table():
    cosines = transfer._tables(matrix(zero=7))[2]
    assert cosines.rows[-1] == ('images without a gradient', '7', '7', '7', '7')


def test_missing_cosines_are_dashes_and_no_numbers():
    found = matrix(['A', 'A_nat'], cosines=float('nan'), zero=100)
    assert values(found.rows()[2]) == [[1.0, None], [None, 1.0]]
    one = '1.000 (0.990 to 1.010)'
    assert transfer._tables(found)[2].rows[:2] == (('A', one, '-'), ('A_nat', '-', one))
    assert transfer._by_gradients(found, TRAININGS).verdict == NOT_TESTED


def test_natural_accuracy_is_the_first_row_of_the_table():
    accuracy, fooled, _ = transfer._tables(matrix(['A', 'A_nat'], natural=90, left=60))
    assert accuracy.columns == ('', 'A', 'A_nat')
    assert [row[0] for row in accuracy.rows] == ['none (natural)', 'A', 'A_nat']
    assert accuracy.rows[0][1].startswith('90.00% (') and accuracy.rows[1][1].startswith('60.00%')
    assert fooled.rows[0][1].startswith('33.3% (')  # 30 of the 90


def fooled(natural, attacked):
    return Measured.share(transfer.fooled(natural, attacked))


def test_what_was_wrong_before_was_not_fooled():
    assert fooled(outcome(50), outcome(0)).value == 1
    found = Outcome(np.arange(100) >= 50, np.zeros(100), 0.0, 0.0)
    assert fooled(found, found).value == 0


def test_a_target_that_is_right_nowhere_cannot_be_fooled():
    share = fooled(outcome(0, n=1), outcome(0, n=1))
    assert np.isnan(share.value) and share[1:] == (0, 1)
    found = matrix(natural=0, left=0)
    assert transfer._tables(found)[1].rows[0][1] == '-'
    assert values(found.rows()[1]) == [[None] * 4] * 4
    assert transfer._by_training(found, TRAININGS, TARGETS).verdict == NOT_TESTED


def test_trainings_are_read_from_the_manifest():
    assert TRAININGS == {
        'A': 'adversarially trained',
        'A_nat': 'naturally trained',
        'B': 'naturally trained',
        'A_prime': 'adversarially trained',
    }
    assert TARGETS == {'A', 'A_nat', 'A_prime', 'A_best'}  # B is of another architecture
    assert 'A_best' in transfer._trainings(RELEASED, None)


@pytest.mark.parametrize(
    'others, expected',
    [
        ((80, 70), REPRODUCED),
        ((80, 20), PARTLY),
        ((20, 30), CONTRADICTED),
        ((80, 46), REPRODUCED),  # nothing is known about the second
        ((45, 46), NOT_TESTED),
    ],
)
def test_accuracy_under_transferred_examples_beside_the_networks_own(others, expected):
    left = {'A': 45, 'A_nat': others[0], 'A_prime': others[1]}
    found = matrix(['A', 'A_nat', 'A_prime'], left=lambda a, b: left[a])
    said = transfer._own_is_stronger(found, TRAININGS, 'A')
    assert said.verdict == expected
    assert '90.00% on natural images, 45.00% on its own' in said.measured
    assert f'A_nat: {others[0]:.2f}%' in said.measured


def by_training(found):
    return transfer._by_training(found, TRAININGS, TARGETS)


@pytest.mark.parametrize(
    'left, expected',
    [
        (lambda a, b: 88 if robust(b) else 9, REPRODUCED),
        (lambda a, b: 9 if robust(b) else 88, CONTRADICTED),
        (lambda a, b: 45, CONTRADICTED),
        (lambda a, b: 88 if robust(a) == robust(b) else 9, PARTLY),
    ],
)
def test_whether_stronger_training_weakens_transfer(left, expected):
    assert by_training(matrix(left=left)).verdict == expected


def test_examples_of_a_network_on_itself_are_no_transfer():
    said = by_training(matrix(left=lambda a, b: 0 if a == b else 45))
    # 180 images each: A and A_prime on each other, both on A_nat.
    assert 'examples of adversarially trained networks: 50.0%, 50.0%' in said.measured
    assert '42.8% to 57.2%, 42.8% to 57.2%' in said.interval
    assert said.n.startswith('180 and 180; ')


def test_all_pairs_are_named():
    said = by_training(matrix())
    for pair in ('A to A_prime', 'A_prime to A_nat', 'B to A', 'B to A_nat'):
        assert pair in said.measured
    assert 'to B' not in said.measured and 'A_best' not in said.measured


def test_a_difference_within_the_intervals_is_not_for_it():
    said = by_training(matrix(left=lambda a, b: 46 if robust(b) else 45))
    assert said.verdict == CONTRADICTED


def test_targets_of_another_architecture_are_not_compared():
    # B alone makes naturally trained targets look easier to fool.
    said = by_training(matrix(left=lambda a, b: 9 if b == 'B' else 45))
    assert '50.0%, 50.0%' in said.measured and said.verdict == CONTRADICTED


def by_gradients(found):
    return transfer._by_gradients(found, TRAININGS)


def test_gradients_are_compared_by_the_training_of_both():
    said = by_gradients(
        matrix(
            cosines=lambda a, b: (
                0.6 if robust(a) and robust(b) else 0.4 if not robust(a) and not robust(b) else 0.1
            )
        )
    )
    robust_too = 'adversarially trained and adversarially trained'
    one = 'adversarially trained and naturally trained'
    assert f'{robust_too}: 0.600 (A and A_prime)' in said.measured
    assert 'naturally trained and naturally trained: 0.400 (A_nat and B)' in said.measured
    assert f'{one}: 0.100 (A and A_nat), 0.100 (A and B)' in said.measured
    assert said.verdict == PARTLY and said.measured.endswith(f'(holds for {one})')
    assert 'the paper says so of capacity' in said.claim


@pytest.mark.parametrize('cosine, expected', [(0.3, REPRODUCED), (0.9, CONTRADICTED)])
def test_gradients_that_agree_or_differ_throughout(cosine, expected):
    said = by_gradients(
        matrix(cosines=lambda a, b: 0.5 if not robust(a) and not robust(b) else cosine)
    )
    assert said.verdict == expected


def test_without_two_naturally_trained_networks_gradients_are_not_compared():
    said = by_gradients(matrix(['A', 'A_nat', 'A_prime']))
    assert 'naturally trained: 0.500 (A and A_nat)' in said.measured and said.verdict == NOT_TESTED


def test_nothing_is_claimed_of_a_single_network():
    trainings = transfer._trainings({'A': entry('pgd')}, None)
    found = matrix(['A'])
    claims = [
        transfer._own_is_stronger(found, trainings, 'A'),
        transfer._by_training(found, trainings, {'A'}),
        transfer._by_gradients(found, trainings),
    ]
    assert {claim.verdict for claim in claims} == {NOT_TESTED}
    assert {claim.interval for claim in claims} == {None}
