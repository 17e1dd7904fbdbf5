"""Black-box transfer as a matrix, and how similar the networks' gradients are (section 4)."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.evaluation.accuracy import Outcome
from common.losses import LogOdds
from common.report.claims import Case, Claim, Measured, between
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.strength import paired
from common.report.figures.study import Study

_ADVERSARIAL, _NATURAL = 'adversarially trained', 'naturally trained'


@dataclasses.dataclass(frozen=True)
class _Matrix:
    """Everything measured of k networks."""

    names: list[str]
    natural: list[Outcome]  # of each target
    attacked: list[list[Outcome]]  # source, target
    cosines: np.ndarray  # [k, k]; NaN where no image has both gradients
    without_gradient: list[int]  # images of each network

    @property
    def fooled(self) -> list[list[Measured]]:
        """[k][k] shares of the images that the target classifies correctly."""
        return [
            [Measured.share(*self.counts([(source, target)])) for target in self.names]
            for source in self.names
        ]

    def counts(self, pairs: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """How many images of all (source, target) pairs are fooled, and how many could be.

        Those are the images that the targets classify correctly.
        """
        fooled = n = 0
        for source, target in pairs:
            i, j = self.names.index(source), self.names.index(target)
            right = self.natural[j].correct
            fooled += int(np.sum(right & ~self.attacked[i][j].correct))
            n += int(np.sum(right))
        return fooled, n

    def cosine(self, a: str, b: str) -> float:
        """Mean cosine between two networks' gradients."""
        return float(self.cosines[self.names.index(a), self.names.index(b)])


@dataclasses.dataclass(frozen=True)
class _Trainings:
    """How the networks that are compared were trained.

    Attributes:
        of: name -> _ADVERSARIAL or _NATURAL.
        targets: those of the adversarially trained network's architecture. Others would differ in
            more than their training.
    """

    of: dict[str, str]
    targets: frozenset[str]

    @classmethod
    def read(
        cls, released: Mapping[str, Any], alike: Collection[str] | None, adversarial: str
    ) -> '_Trainings':
        """From the configs in the manifest; `alike` as in `transfer_matrix`."""
        configs = {
            name: entry['config']
            for name, entry in released.items()
            if alike is None or name in alike
        }
        # Data sets with a single architecture may leave it out.
        architecture = released[adversarial]['config'].get('network')
        return cls(
            {
                name: _NATURAL if config['adversary'] == 'none' else _ADVERSARIAL
                for name, config in configs.items()
            },
            frozenset(n for n, config in configs.items() if config.get('network') == architecture),
        )

    def pairs(self, source: str, target: str) -> list[tuple[str, str]]:
        """All (source, target) pairs of two networks of these trainings."""
        return [
            (a, b)
            for a, b in itertools.permutations(self.of, 2)
            if (self.of[a], self.of[b]) == (source, target) and b in self.targets
        ]


def transfer_matrix(
    study: Study, released: Mapping[str, Any], alike: Collection[str] | None = None
) -> Exhibit:
    """Accuracy of every network on the examples crafted on every other, and gradients' cosines.

    Args:
        study: the data set.
        released: name -> record of the networks, from manifest.json.
        alike: the networks that claims compare; None for all. The others are in the matrices alone.

    Raises:
        UserError: a network is missing.
    """
    trainings = _Trainings.read(released, alike, study.adversarial)
    matrix = _measure(study, list(released))
    return study.exhibit(
        'transfer',
        'transfer between networks',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=matrix.names,
        claims=_claims(matrix, trainings, study.adversarial),
        remarks=_left_out(matrix, len(study.test)),
        tables=_tables(matrix),
        pictures=_pictures(study, matrix),
        data={
            'networks': matrix.names,
            'natural': [outcome.accuracy for outcome in matrix.natural],
            'accuracy': [[outcome.accuracy for outcome in row] for row in matrix.attacked],
            'fooled': _numbers([[share.value for share in row] for row in matrix.fooled]),
            'cosines': _numbers(matrix.cosines),
            'without_gradient': matrix.without_gradient,
        },
    )


def _measure(study: Study, names: list[str]) -> _Matrix:
    none = dataclasses.replace(study.pgd, steps=0, random_start=False)
    attacked = [study.accuracies(study.pgd, source, names) for source in names]
    gradients = {name: input_gradients(study, name) for name in names}
    return _Matrix(
        names,
        [study.accuracy(none, name, name) for name in names],
        attacked,
        np.array([[mean_cosine(gradients[a], gradients[b]) for b in names] for a in names]),
        [int(np.sum(~gradients[name].any(axis=1))) for name in names],
    )


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

    batches = range(0, len(study.test), study.crafting.batch_size)
    return np.concatenate(
        [
            gradient(
                tf.constant(study.test.x[i : i + study.crafting.batch_size]),
                tf.constant(study.test.y[i : i + study.crafting.batch_size]),
            ).numpy()
            for i in batches
        ]
    )


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of `image_cosines`; NaN where no image has an angle."""
    cosines = image_cosines(a, b)
    return float(cosines.mean()) if len(cosines) else float('nan')


def image_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[m] inner products of two networks' `input_gradients`.

    Images where either gradient is 0 have no angle and are left out.
    """
    some = a.any(axis=1) & b.any(axis=1)
    return np.einsum('np,np->n', a[some], b[some])


def _numbers(values: Iterable[Sequence[float]]) -> list[list[float | None]]:
    """Rows for JSON, which has no NaN."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


def _tables(matrix: _Matrix) -> list[Table]:
    names = matrix.names
    accuracies = {
        source: [f'{o.accuracy:.2%} ({between(*o.interval, ".2%")})' for o in row]
        for source, row in zip(
            ['none (natural)', *names], [matrix.natural, *matrix.attacked], strict=True
        )
    }
    fooled = {
        source: [
            None if np.isnan(share.value) else f'{share.value:.1%} ({between(*share[1:])})'
            for share in row
        ]
        for source, row in zip(names, matrix.fooled, strict=True)
    }
    cosines = {
        name: [None if np.isnan(cosine) else f'{cosine:.3f}' for cosine in row]
        for name, row in zip(names, matrix.cosines, strict=True)
    }
    return [
        _table('Accuracy; rows: source, columns: target', names, accuracies),
        _table(
            'Share fooled of the images that the target classifies correctly; rows: source, '
            'columns: target',
            names,
            fooled,
        ),
        _table("Mean cosine between the networks' input gradients", names, cosines),
    ]


def _table(title: str, columns: Sequence[str], rows: dict[str, Sequence[str | None]]) -> Table:
    return Table.of(
        title, [{'': name, **dict(zip(columns, row, strict=True))} for name, row in rows.items()]
    )


def _pictures(study: Study, matrix: _Matrix) -> list[Picture]:
    names, accuracies = matrix.names, [matrix.natural, *matrix.attacked]
    return [
        *study.draw(
            'transfer',
            'Accuracy of each target under examples of each source',
            'heatmap',
            np.array([[o.accuracy for o in row] for row in accuracies]),
            rows=['none (natural)', *names],
            columns=names,
            ylabel='source',
            xlabel='target',
            title=f'accuracy under PGD-{study.pgd.steps}',
        ),
        *study.draw(
            'transfer_gradients',
            "Mean cosine between two networks' gradients",
            'heatmap',
            matrix.cosines,
            rows=names,
            columns=names,
            ylabel='',
            xlabel='',
            form='.3f',
            title='cosine of input gradients',
        ),
    ]


def _claims(matrix: _Matrix, trainings: _Trainings, adversarial: str) -> list[Claim]:
    return [
        *_own_is_stronger(matrix, trainings, adversarial),
        *_by_training(matrix, trainings),
        *_by_gradients(matrix, trainings),
    ]


def _own_is_stronger(matrix: _Matrix, trainings: _Trainings, adversarial: str) -> list[Claim]:
    """Whether transferred examples break fewer of the same images than the network's own."""
    j = matrix.names.index(adversarial)
    natural, own = matrix.natural[j], matrix.attacked[j][j]
    cases = []
    for name, row in zip(matrix.names, matrix.attacked, strict=True):
        if name in trainings.of and name != adversarial:
            low, high = paired(own, row[j]).interval
            weaker = True if high < 0 else False if low > 0 else None
            points = f'{between(100 * low, 100 * high, "+.1f")} points broken beyond its own'
            cases.append(Case(name, f'{row[j].accuracy:.2%}', points, weaker))
    if not cases:
        return []
    return [
        Claim.of(
            'Black-box examples are weaker than white-box ones.',
            'section 5, tables 1 and 2',
            cases,
            f'{own.n:,} images',
            f'accuracy of {adversarial} ({natural.accuracy:.2%} on natural images, '
            f'{own.accuracy:.2%} on its own PGD examples) on examples from',
        )
    ]


def _by_training(matrix: _Matrix, trainings: _Trainings) -> list[Claim]:
    """Whether examples of networks of either training fool adversarially trained targets less."""
    cases, pairs, sizes = [], [], []
    for source in (_ADVERSARIAL, _NATURAL):
        both = [trainings.pairs(source, target) for target in (_ADVERSARIAL, _NATURAL)]
        counts = [matrix.counts(of) for of in both]
        if all(n for _, n in counts):
            robust, usual = (Measured.share(*count) for count in counts)
            cases.append(
                Case(
                    f'examples of {source} networks',
                    f'{robust.value:.1%} and {usual.value:.1%}',
                    f'{between(*robust[1:])} and {between(*usual[1:])}',
                    usual.above(robust),
                )
            )
            pairs += itertools.chain(*both)
            sizes.append(' and '.join(f'{n:,}' for _, n in counts))
    if not cases:
        return []
    return [
        Claim.of(
            'Stronger training adversaries reduce the effectiveness of transferred examples.',
            'section 4',
            cases,
            f'{"; ".join(sizes)} images',
            f'fooled on {_ADVERSARIAL} and on {_NATURAL} targets, of the images that a target '
            'classifies correctly, over all pairs ('
            + ', '.join(f'{source} to {target}' for source, target in pairs)
            + ')',
        )
    ]


def _by_gradients(matrix: _Matrix, trainings: _Trainings) -> list[Claim]:
    """Whether gradients are less alike where one network, or both, were trained adversarially."""
    usual = _cosines(matrix, trainings, {_NATURAL})
    groups = {
        'one of each training': _cosines(matrix, trainings, {_ADVERSARIAL, _NATURAL}),
        f'two {_ADVERSARIAL}': _cosines(matrix, trainings, {_ADVERSARIAL}),
        f'two {_NATURAL}': usual,
    }
    cases = []
    for words, cosines in groups.items():
        numbers = ', '.join(f'{cosine:.3f} ({pair})' for pair, cosine in cosines.items())
        compared = cosines and usual and cosines is not usual
        less = max(cosines.values()) < min(usual.values()) if compared else None
        cases += [Case(words, numbers, held=less)] if cosines else []
    if not cases:
        return []
    return [
        Claim.of(
            'Gradients of source and target correlate less with stronger training (the paper says '
            'so of capacity, for which figure 3 is the test).',
            'section 4',
            cases,
            f'{sum(map(len, groups.values()))} pairs of networks',
            f'mean cosines, beside those of two {_NATURAL} networks',
        )
    ]


def _cosines(matrix: _Matrix, trainings: _Trainings, both: set[str]) -> dict[str, float]:
    """Names of two networks that have these trainings together -> the cosine of their gradients."""
    pairs = itertools.combinations([n for n in matrix.names if n in trainings.of], 2)
    return {
        f'{a} and {b}': matrix.cosine(a, b)
        for a, b in pairs
        if {trainings.of[a], trainings.of[b]} == both and not np.isnan(matrix.cosine(a, b))
    }


def _left_out(matrix: _Matrix, n: int) -> list[str]:
    zero = [
        f'{count:,} of {name}'
        for name, count in zip(matrix.names, matrix.without_gradient, strict=True)
        if count
    ]
    if not zero:
        return []
    return [
        'Left out of the cosines, because a gradient of exactly 0 has no angle: '
        f'{", ".join(zero)}, of {n:,} images.'
    ]
