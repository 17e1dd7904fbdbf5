"""What is said of transfer and gradients, on made-up networks."""

import warnings

import numpy as np
import pytest

from common.evaluation.accuracy import Outcome
from common.report.figures import transfer

NAMES = ['A', 'A_nat', 'B', 'A_prime']


def outcome(correct, n=100):
    return Outcome(np.arange(n) < correct, np.zeros(n, np.int32), 0.0, 0.0)


def matrix(names=NAMES, natural=90, left=50, cosines=0.5, zero=0):
    """`left` images standing of `natural` ones, where it is not said for a pair of names."""
    table = np.ones((len(names), len(names)))
    of = cosines if callable(cosines) else lambda a, b: cosines
    stand = left if callable(left) else lambda a, b: left
    for i, j in np.ndindex(*table.shape):
        table[i, j] = 1 if i == j else of(names[i], names[j])
    return transfer._Matrix(
        list(names),
        [outcome(natural) for _ in names],
        [[outcome(stand(a, b)) for b in names] for a in names],
        table,
        [zero] * len(names),
    )


def robust(name):
    return name in ('A', 'A_prime')


def test_a_gradient_of_zero_has_no_cosine():
    a = np.array([[1, 0], [0, 1], [0, 0], [1, 0]], np.float32)
    b = np.array([[1, 0], [1, 0], [1, 0], [0, 0]], np.float32)
    assert transfer.mean_cosine(a, b) == pytest.approx(0.5)  # of 1 and 0, without the last two
    assert transfer.mean_cosine(a[:2], b[:2]) == pytest.approx(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.isnan(transfer.mean_cosine(a[2:], b[2:]))


def test_images_left_out_of_the_cosines_are_told():
    assert transfer._left_out(matrix(), 100) == []
    (said,) = transfer._left_out(matrix(zero=7), 100)
    assert 'of 100 images, 7 of A, 7 of A_nat' in said


def test_missing_cosines_are_dashes_and_no_numbers():
    found = matrix(['A', 'A_nat'], cosines=float('nan'), zero=100)
    assert transfer._numbers(found.cosines) == [[1.0, None], [None, 1.0]]
    assert transfer._tables(found)[2].rows == (('A', '1.000', '-'), ('A_nat', '-', '1.000'))
    assert transfer._of_gradients(found) == []


def test_natural_accuracy_is_the_first_row_of_the_table():
    accuracy, fooled, _ = transfer._tables(matrix(['A', 'A_nat'], natural=90, left=60))
    assert accuracy.columns == ('', 'A', 'A_nat')
    assert [row[0] for row in accuracy.rows] == ['none (natural)', 'A', 'A_nat']
    assert accuracy.rows[0][1].startswith('90.00% (') and accuracy.rows[1][1].startswith('60.00%')
    assert fooled.rows[0][1].startswith('33.3% (')  # 30 of the 90


def test_what_was_wrong_before_was_not_fooled():
    natural, attacked = outcome(50), outcome(0)
    assert transfer._fooled(natural, attacked)[::2] == (1.0, 50)
    found = Outcome(np.arange(100) >= 50, np.zeros(100), 0.0, 0.0)
    assert transfer._fooled(found, found)[::2] == (0.0, 50)


def test_a_target_that_is_right_nowhere_cannot_be_fooled():
    share, interval, n = transfer._fooled(outcome(0, n=1), outcome(0, n=1))
    assert np.isnan(share) and interval == (0, 1) and n == 0
    found = matrix(natural=0, left=0)
    assert transfer._tables(found)[1].rows[0][1] == '-'
    assert transfer._numbers(found.fooled)[0][0] is None and transfer._by_training(found) == []


def test_accuracy_under_transferred_examples_is_told_beside_the_natural_one():
    (said,) = transfer._on_a(matrix(natural=90, left=lambda a, b: 80 if a == 'A_nat' else 70))
    assert 'examples from A_nat leave 80.00% where natural images leave 90.00%' in said
    assert transfer._on_a(matrix(['A', 'B'])) == []


@pytest.mark.parametrize(
    'left, words',
    [
        (lambda a, b: 88 if robust(b) else 9, 'This is for it.'),
        (lambda a, b: 9 if robust(b) else 88, 'This is against it.'),
        (lambda a, b: 45, 'This is against it.'),
        (lambda a, b: 88 if robust(a) == robust(b) else 9, 'partly for it, partly against it'),
    ],
)
def test_whether_stronger_training_weakens_transfer(left, words):
    (said,) = transfer._by_training(matrix(left=left))
    assert words in said


def test_examples_of_a_network_on_itself_are_no_transfer():
    found = matrix(left=lambda a, b: 0 if a == b else 45)
    (said,) = transfer._by_training(found)
    assert (
        said.count(
            'other adversarially trained ones on 50.0% (42.8% to 57.2%) and naturally '
            'trained ones on 50.0% (42.8% to 57.2%)'
        )
        == 1
    )  # of 180 images each


def test_a_difference_within_the_intervals_is_not_for_it():
    (said,) = transfer._by_training(matrix(left=lambda a, b: 46 if robust(b) else 45))
    assert 'This is against it.' in said


def test_targets_of_another_architecture_are_not_compared():
    # B alone makes naturally trained targets look easier to fool.
    (said,) = transfer._by_training(matrix(left=lambda a, b: 9 if b == 'B' else 45))
    assert 'naturally trained ones on 50.0%' in said and 'This is against it.' in said


def test_gradients_are_compared_by_the_training_of_both():
    (said,) = transfer._of_gradients(
        matrix(
            cosines=lambda a, b: (
                0.6 if robust(a) and robust(b) else 0.4 if not robust(a) and not robust(b) else 0.1
            )
        )
    )
    assert 'two adversarially trained networks have 0.600 (A and A_prime)' in said
    assert 'two naturally trained ones have 0.400 (A_nat and B)' in said
    assert 'one of each have 0.100 (A and A_nat), 0.100 (A and B)' in said
    assert (
        'one of each correlate less than two naturally trained ones (which is for it); two '
        'adversarially trained networks correlate no less than two naturally trained ones '
        '(which is against it)'
    ) in said
    assert 'Of capacity itself these networks say nothing' in said


@pytest.mark.parametrize('cosine, count', [(0.3, 2), (0.9, 0)])
def test_gradients_that_agree_or_differ_throughout(cosine, count):
    (said,) = transfer._of_gradients(
        matrix(cosines=lambda a, b: 0.5 if not robust(a) and not robust(b) else cosine)
    )
    assert said.count('for it') == count and said.count('against it') == 2 - count


def test_without_two_naturally_trained_networks_gradients_are_told_and_not_compared():
    (said,) = transfer._of_gradients(matrix(['A', 'A_nat', 'A_prime']))
    assert 'one of each have 0.500' in said and 'Carried over' not in said


def test_nothing_is_said_of_the_training_of_unknown_networks():
    found = matrix(['mine', 'yours'])
    assert transfer._remarks(found, 100) == []
