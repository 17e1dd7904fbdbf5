"""Black-box transfer as a matrix, and how alike the networks' gradients are (paper, section 4)."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from common.evaluation.accuracy import Outcome
from common.losses import LogOdds
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import Study, draw
from common.statistics import wilson_interval

_ADVERSARIAL, _NATURAL = 'adversarially trained', 'naturally trained'
# MNIST's A_best goes on from A, and CIFAR-10's was trained far longer than the others: the matrices
# have them, the remarks, which compare like with like, do not.
_TRAINED = {'A': _ADVERSARIAL, 'A_prime': _ADVERSARIAL, 'A_nat': _NATURAL, 'B': _NATURAL}
_OTHER_ARCHITECTURE = {'B'}  # as a target it would be compared with what differs in that as well


@dataclasses.dataclass(frozen=True)
class _Matrix:
    """Everything measured of k networks."""

    names: list[str]
    natural: list[Outcome]  # of each target
    attacked: list[list[Outcome]]  # source, target
    cosines: np.ndarray  # [k, k]; NaN where no image has both gradients
    without_gradient: list[int]  # images of each network

    @property
    def fooled(self) -> np.ndarray:
        """[k, k] shares of the images that the target classifies correctly; NaN of none."""
        return np.array(
            [
                [
                    _fooled(natural, attacked)[0]
                    for natural, attacked in zip(self.natural, row, strict=True)
                ]
                for row in self.attacked
            ]
        )

    def accuracy(self, source: str | None, target: str) -> str:
        """In words; without a source on natural images."""
        column = self.names.index(target)
        row = self.natural if source is None else self.attacked[self.names.index(source)]
        return f'{row[column].accuracy:.2%}'


def transfer_matrix(study: Study, names: Sequence[str]) -> Exhibit:
    """Accuracy of every network on the examples crafted on every other, and gradients' cosines.

    Args:
        study: the data set.
        names: of the networks.

    Raises:
        UserError: a network is not there.
    """
    found = _measure(study, list(names))
    return study.exhibit(
        'transfer',
        'transfer between networks',
        setting=f'{study.pgd}, n = {len(study.test):,}',
        networks=found.names,
        remarks=_remarks(found, len(study.test)),
        tables=_tables(found),
        pictures=_pictures(study, found),
        data={
            'networks': found.names,
            'natural': [outcome.accuracy for outcome in found.natural],
            'accuracy': [[outcome.accuracy for outcome in row] for row in found.attacked],
            'fooled': _numbers(found.fooled),
            'cosines': _numbers(found.cosines),
            'without_gradient': found.without_gradient,
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


def _fooled(natural: Outcome, attacked: Outcome) -> tuple[float, tuple[float, float], int]:
    """Share fooled of the images classified correctly, its 95% interval, and their number."""
    fooled, n = int(np.sum(natural.correct & ~attacked.correct)), int(np.sum(natural.correct))
    return (fooled / n, wilson_interval(fooled, n), n) if n else (np.nan, (0.0, 1.0), 0)


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
    """Mean over images of the inner product of two networks' `input_gradients`.

    Images where either gradient is 0 have no angle and are left out; NaN where none remains.
    """
    some = a.any(axis=1) & b.any(axis=1)
    return float(np.einsum('np,np->n', a[some], b[some]).mean()) if some.any() else float('nan')


def _numbers(values: np.ndarray) -> list[list[float | None]]:
    """As JSON has them: it knows no NaN."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


def _tables(found: _Matrix) -> list[Table]:
    names = found.names
    accuracies = {'none (natural)': found.natural, **dict(zip(names, found.attacked, strict=True))}
    fooled = [
        [_fooled(natural, attacked) for natural, attacked in zip(found.natural, row, strict=True)]
        for row in found.attacked
    ]
    return [
        _table(
            'Accuracy; rows: source, columns: target',
            names,
            {
                source: [
                    f'{o.accuracy:.2%} ({o.interval[0]:.2%} to {o.interval[1]:.2%})' for o in row
                ]
                for source, row in accuracies.items()
            },
        ),
        _table(
            'Share fooled of the images that the target classifies correctly; rows: source, '
            'columns: target',
            names,
            {
                source: [
                    f'{share:.1%} ({low:.1%} to {high:.1%})' if n else None
                    for share, (low, high), n in row
                ]
                for source, row in zip(names, fooled, strict=True)
            },
        ),
        _table(
            "Mean cosine between the networks' input gradients",
            names,
            {
                name: [None if np.isnan(cosine) else f'{cosine:.3f}' for cosine in row]
                for name, row in zip(names, found.cosines, strict=True)
            },
        ),
    ]


def _table(title: str, columns: Sequence[str], rows: dict[str, Sequence[str | None]]) -> Table:
    return Table.of(
        title, [{'': name, **dict(zip(columns, row, strict=True))} for name, row in rows.items()]
    )


def _pictures(study: Study, found: _Matrix) -> list[Picture]:
    names = found.names
    accuracy = [[o.accuracy for o in row] for row in (found.natural, *found.attacked)]
    return [
        *draw(
            study.path('transfer'),
            'Accuracy of each target under examples of each source',
            lambda plots, path: plots.heatmap(
                path,
                np.array(accuracy),
                rows=['none (natural)', *names],
                columns=names,
                ylabel='source',
                xlabel='target',
                title=f'accuracy under PGD-{study.pgd.steps}',
            ),
        ),
        *draw(
            study.path('transfer_gradients'),
            "Mean cosine between two networks' gradients",
            lambda plots, path: plots.heatmap(
                path,
                found.cosines,
                rows=names,
                columns=names,
                ylabel='',
                xlabel='',
                form='.3f',
                title='cosine of input gradients',
            ),
        ),
    ]


def _remarks(found: _Matrix, n: int) -> list[str]:
    return [*_on_a(found), *_by_training(found), *_of_gradients(found), *_left_out(found, n)]


def _on_a(found: _Matrix) -> list[str]:
    if not {'A', 'A_nat', 'A_prime'} <= set(found.names):
        return []
    return [
        f'On A, examples from A_nat leave {found.accuracy("A_nat", "A")} where natural images '
        f'leave {found.accuracy(None, "A")}; those from A_prime leave '
        f'{found.accuracy("A_prime", "A")}, its own {found.accuracy("A", "A")}.'
    ]


def _by_training(found: _Matrix) -> list[str]:
    """How well examples of other networks fool targets of either training."""
    parts, agreeing = [], []
    for source in (_ADVERSARIAL, _NATURAL):
        robust, usual = (_all_fooled(found, source, target) for target in (_ADVERSARIAL, _NATURAL))
        if robust[1] and usual[1]:
            parts.append(
                f'{source} networks fool other adversarially trained ones on '
                f'{_share(*robust)} and naturally trained ones on {_share(*usual)}'
            )
            agreeing.append(wilson_interval(*robust)[1] < wilson_interval(*usual)[0])
    return (
        []
        if not parts
        else [
            'The paper: stronger training adversaries reduce the effectiveness of transferred '
            'examples. Measured on targets of one architecture, over all pairs and of the images '
            'that the fooled network classifies correctly without an attack: examples of '
            f'{"; those of ".join(parts)}. {_stance(agreeing)}'
        ]
    )


def _share(fooled: int, n: int) -> str:
    low, high = wilson_interval(fooled, n)
    return f'{fooled / n:.1%} ({low:.1%} to {high:.1%})'


def _all_fooled(found: _Matrix, source: str, target: str) -> tuple[int, int]:
    """How many are fooled of how many images, over all pairs of two networks of these trainings."""
    trained = [_TRAINED.get(name) for name in found.names]
    fooled = n = 0
    for i, j in itertools.permutations(range(len(trained)), 2):
        if (trained[i], trained[j]) == (source, target) and (
            found.names[j] not in _OTHER_ARCHITECTURE
        ):
            right = found.natural[j].correct
            fooled += int(np.sum(right & ~found.attacked[i][j].correct))
            n += int(np.sum(right))
    return fooled, n


def _of_gradients(found: _Matrix) -> list[str]:
    """Gradients' cosines by the training of both networks."""
    pairs = {
        words: _pairs(found, *trainings)
        for words, trainings in {
            'two adversarially trained networks': (_ADVERSARIAL, _ADVERSARIAL),
            'two naturally trained ones': (_NATURAL, _NATURAL),
            'one of each': (_ADVERSARIAL, _NATURAL),
        }.items()
    }
    measured = [
        f'{words} have ' + ', '.join(f'{cosine:.3f} ({two})' for two, cosine in of.items())
        for words, of in pairs.items()
        if of
    ]
    if not measured:
        return []
    robust, usual, mixed = pairs.values()
    compared = [
        f'{words} correlate '
        + ('less' if less else 'no less')
        + f' than two naturally trained ones (which is {"for" if less else "against"} it)'
        for words, of in (('one of each', mixed), ('two adversarially trained networks', robust))
        if of and usual
        for less in [max(of.values()) < min(usual.values())]
    ]
    return [
        'The paper: as capacity grows, the gradients of source and target correlate less. '
        f'Measured, mean cosines of input gradients: {"; ".join(measured)}.'
        + (f' Carried over to stronger training: {"; ".join(compared)}.' if compared else '')
        + ' Of capacity itself these networks say nothing: A, A_nat and A_prime are of one '
        'architecture, which may also make gradients alike, and B is of another one. Figure 3 '
        'is about capacity.'
    ]


def _pairs(found: _Matrix, first: str, second: str) -> dict[str, float]:
    """Names of two networks of these trainings -> the cosine of their gradients."""
    return {
        f'{found.names[i]} and {found.names[j]}': float(found.cosines[i, j])
        for i, j in itertools.combinations(range(len(found.names)), 2)
        if sorted((_TRAINED.get(found.names[i], ''), _TRAINED.get(found.names[j], '')))
        == sorted((first, second))
        and not np.isnan(found.cosines[i, j])
    }


def _stance(agreeing: Sequence[bool]) -> str:
    return (
        'This is for it.'
        if all(agreeing)
        else 'This is partly for it, partly against it.'
        if any(agreeing)
        else 'This is against it.'
    )


def _left_out(found: _Matrix, n: int) -> list[str]:
    zero = [
        f'{count:,} of {name}'
        for name, count in zip(found.names, found.without_gradient, strict=True)
        if count
    ]
    return (
        [
            f'Where a gradient is exactly 0 there is no angle; left out of the cosines are, of '
            f'{n:,} images, {", ".join(zero)}.'
        ]
        if zero
        else []
    )
