"""Losses: known values, gradients, and what larger means."""

import numpy as np
import pytest
import tensorflow as tf

from common.losses import (
    DLR,
    LOSSES,
    CrossEntropy,
    CWMargin,
    DLRTo,
    LogOdds,
    MarginTo,
    make_loss,
    true_margin,
)

LOGITS = np.array([[1.0, 2.0, 5.0], [4.0, -3.0, 3.5], [0.0, 0.0, -1.0]], np.float32)
Y = np.array([2, 1, 0])
MARGINS = [3.0, -7.0, 0.0]  # z_y less the largest other logit, by hand
ALL = [
    CrossEntropy(),
    CrossEntropy(targeted=True),
    CWMargin(),
    CWMargin(kappa=50),
    CWMargin(targeted=True),
    CWMargin(kappa=50, targeted=True),
]


def value(loss, logits=LOGITS, y=Y):
    return loss(tf.constant(logits), tf.constant(y)).numpy()


def gradient(loss, logits, y):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(loss(logits, tf.constant(y)))
    return tape.gradient(total, logits).numpy()


@pytest.mark.parametrize('loss', ALL, ids=repr)
@pytest.mark.parametrize('dtype', [np.int32, np.int64])
def test_one_float32_an_example_for_every_label_type(loss, dtype):
    values = value(loss, y=Y.astype(dtype))
    assert values.shape == (3,) and values.dtype == np.float32


@pytest.mark.parametrize('loss', ALL, ids=repr)
def test_examples_do_not_influence_each_other(loss):
    together = value(loss)
    alone = [value(loss, LOGITS[i : i + 1], Y[i : i + 1])[0] for i in range(3)]
    np.testing.assert_array_equal(together, alone)


def test_cross_entropy_is_minus_the_log_of_the_softmax():
    z = LOGITS.astype(np.float64)
    expected = np.log(np.exp(z).sum(axis=1)) - z[np.arange(3), Y]
    np.testing.assert_allclose(value(CrossEntropy()), expected, rtol=1e-6)
    np.testing.assert_allclose(value(CrossEntropy(targeted=True)), -expected, rtol=1e-6)


def test_cross_entropy_of_huge_logits_does_not_overflow():
    logits = np.array([[1e4, -1e4], [1e4, -1e4]], np.float32)
    np.testing.assert_array_equal(value(CrossEntropy(), logits, np.array([0, 1])), [0.0, 2e4])


def test_margin_of_the_true_class():
    np.testing.assert_array_equal(true_margin(tf.constant(LOGITS), tf.constant(Y)), MARGINS)


def test_margin_keeps_the_digits_of_large_logits():
    # Spacing of float32 at 3e4 is 2**-9; the challenge's `- 1e4` would even pick the true class.
    logits = np.array([[-3e4, -3e4 - 2**-8, -3e4 - 2**-9]], np.float32)
    np.testing.assert_array_equal(true_margin(tf.constant(logits), tf.constant([0])), [2**-9])
    np.testing.assert_array_equal(true_margin(tf.constant(logits), tf.constant([1])), [-(2**-8)])


def test_margin_sign_is_the_prediction():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, 10)).astype(np.float32)
    y = rng.integers(0, 10, 200)
    margin = true_margin(tf.constant(logits), tf.constant(y)).numpy()
    np.testing.assert_array_equal(margin > 0, logits.argmax(axis=1) == y)


def test_cw_values_by_hand():
    np.testing.assert_array_equal(value(CWMargin()), [-3.0, 0.0, 0.0])
    np.testing.assert_array_equal(value(CWMargin(kappa=5)), [-8.0, 0.0, -5.0])
    np.testing.assert_array_equal(value(CWMargin(kappa=50)), [-53.0, -43.0, -50.0])
    np.testing.assert_array_equal(value(CWMargin(targeted=True)), [0.0, -7.0, 0.0])
    np.testing.assert_array_equal(value(CWMargin(kappa=50, targeted=True)), [-47.0, -57.0, -50.0])


def test_cw_is_the_formula_of_the_challenge():
    rng = np.random.default_rng(1)
    z = (10 * rng.standard_normal((50, 10))).astype(np.float32)
    y = rng.integers(0, 10, 50)
    mask = np.eye(10, dtype=np.float32)[y]
    correct, wrong = (mask * z).sum(axis=1), ((1 - mask) * z - 1e4 * mask).max(axis=1)
    expected = -np.maximum(correct - wrong + 50, 0)
    np.testing.assert_allclose(value(CWMargin(kappa=50), z, y), expected, rtol=1e-6)


def test_cw_pushes_until_kappa_past_the_boundary_and_no_further():
    logits = np.array([[1.0, 3.0, -5.0], [3.0, 1.0, -5.0]], np.float32)  # margins -2 and 2
    y = np.array([0, 0])
    np.testing.assert_array_equal(gradient(CWMargin(), logits, y), [[0, 0, 0], [-1, 1, 0]])
    np.testing.assert_array_equal(gradient(CWMargin(kappa=3), logits, y), [[-1, 1, 0]] * 2)
    targeted = gradient(CWMargin(targeted=True), logits, y)
    np.testing.assert_array_equal(targeted, [[1, -1, 0], [0, 0, 0]])


@pytest.mark.parametrize('loss', [CrossEntropy(), CWMargin(kappa=50)], ids=repr)
def test_larger_is_more_adversarial(loss):
    logits = np.array([[2.0, 1.0, 0.0], [2.0, 1.9, 0.0], [2.0, 4.0, 0.0]], np.float32)
    assert np.all(np.diff(value(loss, logits, np.array([0, 0, 0]))) > 0)


@pytest.mark.parametrize('loss', [CrossEntropy(targeted=True), CWMargin(50, True)], ids=repr)
def test_targeted_is_larger_nearer_to_the_target(loss):
    logits = np.array([[2.0, 1.0, 0.0], [2.0, 1.9, 0.0], [2.0, 4.0, 0.0]], np.float32)
    assert np.all(np.diff(value(loss, logits, np.array([1, 1, 1]))) > 0)


def test_losses_by_name():
    assert sorted(LOSSES) == ['cw', 'xent']
    assert make_loss('xent') == CrossEntropy()
    assert make_loss('xent', targeted=True) == CrossEntropy(targeted=True)
    assert make_loss('cw', kappa=50) == CWMargin(kappa=50)
    assert make_loss('cw', kappa=2, targeted=True) == CWMargin(kappa=2, targeted=True)


@pytest.mark.parametrize('name', ['cv', 'XENT', '', 'cross_entropy'])
def test_refuses_unknown_names(name):
    with pytest.raises(ValueError, match=f"unknown loss '{name}'; expected one of: cw, xent"):
        make_loss(name)


def test_printed_they_tell_their_settings():
    assert repr(CWMargin(kappa=50.0)) == 'CWMargin(kappa=50.0, targeted=False)'


FOUR = tf.constant([[1.0, 4.0, 2.0, 3.0], [1.0, 4.0, 2.0, 3.0]])


def test_dlr_by_hand():
    found = DLR()(FOUR, tf.constant([1, 0]))
    np.testing.assert_allclose(found, [-(4 - 3) / (4 - 2), -(1 - 4) / (4 - 2)])


def test_losses_towards_a_class_by_hand():
    y, target = tf.constant([1, 0]), tf.constant([2, 3])
    np.testing.assert_allclose(MarginTo().towards(target)(FOUR, y), [2 - 4, 3 - 1])
    np.testing.assert_allclose(
        DLRTo().towards(target)(FOUR, y), [(2 - 4) / (4 - 1.5), (3 - 1) / (4 - 1.5)]
    )


@pytest.mark.parametrize('loss', [DLR(), DLRTo(tf.constant([3, 3, 3, 0, 0]))])
def test_ratios_do_not_see_the_scale_of_the_logits(loss):
    logits = tf.constant(np.random.default_rng(0).standard_normal((5, 6)), tf.float32)
    np.testing.assert_allclose(
        loss(logits, tf.range(5)), loss(100 * logits + 7, tf.range(5)), rtol=1e-3
    )


@pytest.mark.parametrize('loss, classes', [(DLR(), 2), (DLRTo(tf.constant([1])), 3)])
def test_ratios_need_classes(loss, classes):
    with pytest.raises(ValueError, match=f'found {classes}'):
        loss(tf.zeros([1, classes]), tf.constant([0]))


def test_log_odds_are_what_their_name_says():
    p = tf.nn.softmax(FOUR).numpy()[[0, 1], [1, 0]]
    found = LogOdds()(FOUR, tf.constant([1, 0]))
    np.testing.assert_allclose(found, np.log((1 - p) / p), rtol=1e-5)
    np.testing.assert_allclose(
        np.log1p(np.exp(found)), CrossEntropy()(FOUR, tf.constant([1, 0])), rtol=1e-5
    )


def test_log_odds_keep_the_gradient_where_the_probability_rounds_to_one():
    logits, y = np.array([[30.0, 0.0, -1.0]], np.float32), np.array([0])
    others = np.exp([0.0, -1.0]) / np.exp([0.0, -1.0]).sum()
    exact = np.array([[-1.0, *others]])
    np.testing.assert_allclose(gradient(LogOdds(), logits, y), exact, rtol=1e-5)
    lost = gradient(CrossEntropy(), logits, y)
    assert lost[0, 0] == 0 < lost[0, 1]  # what the sum of the row, 0, cannot be
    sure = np.array([[3.0, 0.0, -1.0]], np.float32)
    ours, theirs = (gradient(loss, sure, y) for loss in (LogOdds(), CrossEntropy()))
    np.testing.assert_allclose(
        ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), rtol=1e-4
    )
