"""Black-box transfer as a matrix, and how similar the networks' gradients are (section 4)."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.evaluation.accuracy import Outcome
from common.evaluation.concurrent_batches import split
from common.evaluation.loss_landscape import log_odds_gradient
from common.report.claims import Case, Claim
from common.report.exhibit import Exhibit, Table
from common.report.figures.study import Study
from common.statistics import Measured, counted, paired_difference

_ADVERSARIAL, _NATURAL = 'adversarially trained', 'naturally trained'
_NONE = 'none (natural)'

_Rows = dict[str, list[Measured]]  # source -> a number for each target


@dataclasses.dataclass(frozen=True)
class _Matrix:
    """Everything measured of k networks."""

    names: list[str]
    outcomes: dict[tuple[str, str], Outcome]  # of (source, target); natural ones from _NONE
    cosines: dict[tuple[str, str], Measured]  # means; NaN where no image has both gradients
    without_gradient: list[int]  # images of each network

    def rows(self) -> tuple[_Rows, _Rows, _Rows]:
        """Accuracies, shares fooled of what the targets classify correctly, and cosines."""
        names = self.names
        return (
            {a: [self.outcomes[a, b].measured for b in names] for a in [_NONE, *names]},
            {a: [Measured.share(self.fooled([(a, b)])) for b in names] for a in names},
            {a: [self.cosines[a, b] for b in names] for a in names},
        )

    def fooled(self, pairs: Iterable[tuple[str, str]]) -> np.ndarray:
        """Which images of all (source, target) pairs are fooled: `fooled`, one after the other."""
        return np.concatenate(
            [fooled(self.outcomes[_NONE, b], self.outcomes[a, b]) for a, b in pairs]
        )


def fooled(natural: Outcome, attacked: Outcome) -> np.ndarray:
    """Which of the images that a network classifies correctly are misclassified under attack."""
    return ~attacked.correct[natural.correct]


def transfer_matrix(
    study: Study, released: Mapping[str, Any], compared_alike: Collection[str] | None = None
) -> Exhibit:
    """Accuracy of every network on the examples crafted on every other, and gradients' cosines.

    Args:
        study: the data set.
        released: name -> record of the networks, from manifest.json.
        compared_alike: the networks that claims compare; None for all. The others are in the
            matrices alone.

    Raises:
        UserError: a network is missing.
    """
    names = list(released)
    gradients = {name: input_gradients(study, name) for name in names}
    outcomes = {(_NONE, name): study.accuracy(study.natural, name, name) for name in names}
    for source in names:
        attacked = study.accuracies(study.pgd, source, names)
        outcomes |= {(source, b): outcome for b, outcome in zip(names, attacked, strict=True)}
    cosines = {
        (a, b): Measured.mean(image_cosines(gradients[a], gradients[b]))
        for a, b in itertools.product(names, names)
    }
    without = [int(np.sum(~gradients[name].any(axis=1))) for name in names]
    matrix = _Matrix(names, outcomes, cosines, without)
    trainings = _trainings(released, compared_alike)
    # Others would differ in more than their training.
    targets = _of_one_architecture(released, study.adversarial)
    accuracies, shares, cosines = map(_values, matrix.rows())
    natural, *accuracy = accuracies.values()
    return study.exhibit(
        'transfer',
        'transfer between networks',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=names,
        claims=[
            _own_is_stronger(matrix, trainings, study.adversarial),
            _by_training(matrix, trainings, targets),
            _by_gradients(matrix, trainings),
        ],
        tables=_tables(matrix),
        pictures=[
            *study.draw(
                'transfer',
                'Accuracy of each target under examples of each source',
                'heatmap',
                accuracies,
                names,
                ylabel='source',
                xlabel='target',
                title=f'accuracy under PGD-{study.pgd.steps}',
            ),
            *study.draw(
                'transfer_gradients',
                "Mean cosine between two networks' gradients",
                'heatmap',
                cosines,
                names,
                form='.3f',
                title='cosine of input gradients',
            ),
        ],
        data={
            'networks': names,
            'natural': natural,
            'accuracy': accuracy,
            'fooled': list(shares.values()),
            'cosines': list(cosines.values()),
            'without_gradient': without,
        },
    )


def _trainings(released: Mapping[str, Any], alike: Collection[str] | None) -> dict[str, str]:
    """Network -> how it was trained, of those in `alike` or of all."""
    return {
        name: _NATURAL if entry['config']['adversary'] == 'none' else _ADVERSARIAL
        for name, entry in released.items()
        if alike is None or name in alike
    }


def _of_one_architecture(released: Mapping[str, Any], name: str) -> set[str]:
    """The networks of that one's architecture, which data sets with a single one may leave out."""
    networks = {n: entry['config'].get('network') for n, entry in released.items()}
    return {n for n, network in networks.items() if network == networks[name]}


def input_gradients(study: Study, name: str) -> np.ndarray:
    """[n, pixels] float32 directions of the cross-entropy's gradients at the images (or 0)."""
    network = study.network(name).model

    @tf.function(autograph=False, reduce_retracing=True)
    def direction(x, y):
        flat = tf.reshape(log_odds_gradient(network, x, y), [tf.shape(x)[0], -1])
        return tf.math.divide_no_nan(flat, tf.norm(flat, axis=1, keepdims=True))

    batches = split(np.arange(len(study.test)), study.crafting.batch_size)
    return np.concatenate([direction(study.test.x[b], study.test.y[b]).numpy() for b in batches])


def image_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[m] inner products of two networks' `input_gradients`.

    Images where either gradient is 0 have no angle and are left out.
    """
    some = a.any(axis=1) & b.any(axis=1)
    return np.einsum('np,np->n', a[some], b[some])


def _values(rows: _Rows) -> dict[str, list[float | None]]:
    """The numbers alone."""
    return {source: [m.known for m in row] for source, row in rows.items()}


def _tables(matrix: _Matrix) -> list[Table]:
    kinds = (
        ('Accuracy; rows: source, columns: target', '.2%'),
        ('Share fooled of the images that the target classifies correctly', '.1%'),
        ("Mean cosine between the networks' input gradients", '.3f'),
    )
    tables = []
    for (title, form), rows in zip(kinds, matrix.rows(), strict=True):
        shown = {a: [m.shown(form) for m in row] for a, row in rows.items()}
        if form == '.3f':
            shown['images without a gradient'] = matrix.without_gradient
        tables.append(Table.matrix(title, matrix.names, shown))
    return tables


def _own_is_stronger(matrix: _Matrix, trainings: Mapping[str, str], adversarial: str) -> Claim:
    """Whether transferred examples break fewer of the same images than the network's own."""
    natural, own = (matrix.outcomes[a, adversarial] for a in (_NONE, adversarial))
    cases = []
    for name in [n for n in matrix.names if n in trainings and n != adversarial]:
        other = matrix.outcomes[name, adversarial]
        kept = paired_difference(own.correct, other.correct)
        weaker = True if kept.low > 0 else False if kept.high < 0 else None
        interval = f'{kept.ends("+.1%")} kept beyond its own'
        cases.append(Case(name, f'{other.accuracy:.2%}', interval, weaker))
    return Claim.of(
        'Black-box examples are weaker than white-box ones.',
        'section 5, tables 1 and 2',
        cases,
        counted(own.n, 'image'),
        f'accuracy of {adversarial} ({natural.accuracy:.2%} on natural images, '
        f'{own.accuracy:.2%} on its own PGD examples) on examples from',
    )


def _by_training(matrix: _Matrix, trainings: Mapping[str, str], targets: Collection[str]) -> Claim:
    """Whether examples of networks of either training fool adversarially trained targets less."""
    cases, compared, sizes = [], [], []
    for source in (_ADVERSARIAL, _NATURAL):
        pairs = [
            [
                (a, b)
                for a, b in itertools.permutations(trainings, 2)
                if (trainings[a], trainings[b]) == (source, target) and b in targets
            ]
            for target in (_ADVERSARIAL, _NATURAL)
        ]
        images = [matrix.fooled(of) for of in pairs if of]
        if len(images) == 2 and all(map(len, images)):
            robust, usual = map(Measured.share, images)
            words = f'examples of {source} networks'
            cases.append(Case.of(words, robust, usual, held=usual.above(robust)))
            compared += [f'{a} to {b}' for of in pairs for a, b in of]
            sizes.append(' and '.join(f'{len(of):,}' for of in images))
    return Claim.of(
        'Stronger training adversaries reduce the effectiveness of transferred examples.',
        'section 4',
        cases,
        f'{"; ".join(sizes) or 0} images',
        f'fooled on {_ADVERSARIAL} and on {_NATURAL} targets, of the images that a target '
        f'classifies correctly, over all pairs ({", ".join(compared)})',
    )


def _by_gradients(matrix: _Matrix, trainings: Mapping[str, str]) -> Claim:
    """Whether gradients are less alike where one network, or both, were trained adversarially."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for a, b in itertools.combinations([n for n in matrix.names if n in trainings], 2):
        cosine = matrix.cosines[a, b].known
        if cosine is not None:
            words = ' and '.join(sorted((trainings[a], trainings[b])))
            groups.setdefault(words, []).append((cosine, f'{cosine:.3f} ({a} and {b})'))
    cases, usual = [], groups.get(f'{_NATURAL} and {_NATURAL}')
    for words, cosines in groups.items():
        less = max(cosines)[0] < min(usual)[0] if usual and cosines is not usual else None
        cases.append(Case(words, ', '.join(shown for _, shown in cosines), held=less))
    return Claim.of(
        'Gradients of source and target correlate less with stronger training (the paper says so '
        'of capacity, for which figure 3 is the test).',
        'section 4',
        cases,
        f'{sum(map(len, groups.values()))} pairs of networks',
        f'mean cosines, beside those of two {_NATURAL} networks',
    )
