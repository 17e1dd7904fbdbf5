"""Black-box transfer as a matrix, and how alike the networks' gradients are (paper, section 4)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.exhibits import Exhibit, Table
from common.figures.study import Study, draw
from common.losses import LogOdds


def transfer_matrix(study: Study, names: Sequence[str]) -> Exhibit:
    """Accuracy of every network on the examples crafted on every other, and gradients' cosines.

    Args:
        study: the data set.
        names: of the networks.

    Raises:
        UserError: a network is not there.
    """
    outcomes = [study.accuracies(study.pgd, source, names) for source in names]
    accuracy = np.array([[outcome.accuracy for outcome in row] for row in outcomes])
    gradients = {name: input_gradients(study, name) for name in names}
    cosines = np.array([[mean_cosine(gradients[a], gradients[b]) for b in names] for a in names])
    pictures = [
        *draw(study.path('transfer'), 'Accuracy of each target under examples of each source',
              lambda plots, path: plots.heatmap(
                  path, accuracy, rows=names, columns=names, ylabel='source', xlabel='target',
                  title=f'accuracy under PGD-{study.pgd.steps}')),
        *draw(study.path('transfer_gradients'), "Mean cosine between two networks' gradients",
              lambda plots, path: plots.heatmap(
                  path, cosines, rows=names, columns=names, ylabel='', xlabel='', form='.3f',
                  title='cosine of input gradients'))]
    return study.exhibit(
        'transfer', 'transfer between networks',
        setting=f'{study.pgd}, n = {len(study.test):,}', networks=list(names),
        remarks=_remarks(names, accuracy, cosines),
        tables=[_table('Accuracy; rows: source, columns: target', names, [
                    [f'{o.accuracy:.2%} ({o.interval[0]:.2%} to {o.interval[1]:.2%})' for o in row]
                    for row in outcomes]),
                _table("Mean cosine between the networks' input gradients", names, [
                    [f'{cosine:.3f}' for cosine in row] for row in cosines])],
        pictures=pictures,
        data={'networks': list(names), 'accuracy': accuracy.tolist(), 'cosines': cosines.tolist()})


def input_gradients(study: Study, name: str) -> np.ndarray:
    """[n, pixels] float32 directions of the cross-entropy's gradients at the images (or 0)."""
    network = study.network(name).model

    @tf.function(autograph=False, reduce_retracing=True)
    def gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            # Of the same direction as the cross-entropy, also where a network is sure.
            odds = LogOdds()(network(x), y)
        flat = tf.reshape(tape.gradient(odds, x), [tf.shape(x)[0], -1])
        return tf.math.divide_no_nan(flat, tf.norm(flat, axis=1, keepdims=True))

    batches = range(0, len(study.test), study.batch_size)
    return np.concatenate([
        gradient(tf.constant(study.test.x[i:i + study.batch_size]),
                 tf.constant(study.test.y[i:i + study.batch_size])).numpy() for i in batches])


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the images of the inner product of two networks' `input_gradients`."""
    return float(np.einsum('np,np->n', a, b).mean())


def _table(title: str, names: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    return Table.of(title, [
        {'': name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, cells, strict=True)])


def _remarks(names: Sequence[str], accuracy: np.ndarray, cosines: np.ndarray) -> list[str]:
    if not {'A', 'A_nat', 'A_prime'} <= set(names):
        return []
    a, natural, prime = (list(names).index(n) for n in ('A', 'A_nat', 'A_prime'))
    return [
        f'On A, examples from A_prime leave {accuracy[prime, a]:.2%} and those from A_nat '
        f'{accuracy[natural, a]:.2%}, its own {accuracy[a, a]:.2%}. The input gradients of A and '
        f'A_prime have a mean cosine of {cosines[a, prime]:.3f}, those of A and A_nat one of '
        f'{cosines[a, natural]:.3f}.',
        'The paper: more capacity and stronger training adversaries reduce the effectiveness of '
        'transferred examples, and as capacity grows the gradients of source and target correlate '
        'less.']
