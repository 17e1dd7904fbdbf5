"""Figure 3: what capacity does, trained naturally, against FGSM and against PGD (section 4)."""

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from common.attacks import Attack, fgsm
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome
from common.losses import LogOdds
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.cached_training import Train, train_in
from common.report.figures.capacity_claims import (
    ADVERSARIES,
    EXACT,
    FGSM,
    JUDGED,
    NATURAL,
    PGD,
    Findings,
    Measured,
    Trained,
    Transferred,
    all_claims,
)
from common.report.figures.study import Study, draw
from common.report.figures.transfer import input_gradients, mean_cosine
from common.statistics import wilson_interval
from common.training.config import TrainingConfig

_LOSS_IMAGES = 10_000  # of the final training loss


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The networks of the figure.

    Attributes:
        widths: name of a width -> the settings that it changes.
        config: of every training, except width and adversary.
        train: (config, folder, data_dir) -> None; trains there, or goes on, or finds it done.
        data_dir: folder of TFDS's prepared data sets; None follows TFDS's own rules.
        training_set: the final training loss is measured on the first of its images.
        adversary: config -> the attack that makes training examples; None for natural training.
        released: (width, adversary) -> released network that needs no training here.
        commands: released network -> the command that trained it.
        papers: (width, adversary) -> the paper's accuracies: natural, FGSM, PGD.
        why: what may explain that numbers differ from the paper's, where it gives any.
        longer: how many times longer the largest network is trained naturally once more; 1 for no
            such training.
    """

    widths: dict[str, dict[str, Any]]
    config: TrainingConfig
    train: Train
    data_dir: str | None
    training_set: Examples
    adversary: Callable[[TrainingConfig], Attack | None]
    released: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    commands: dict[str, str] = dataclasses.field(default_factory=dict)
    papers: dict[tuple[str, str], tuple[float, float, float]] = dataclasses.field(
        default_factory=dict
    )
    why: str = ''
    longer: int = 1


def figure_3(study: Study, sweep: Sweep) -> Exhibit:
    """Accuracies and final training losses over capacity.

    Args:
        study: the data set; its PGD judges.
        sweep: the networks.

    Raises:
        UserError: training or evaluation failed.
    """
    trained = [
        _measure(study, sweep, width, adversary)
        for adversary in ADVERSARIES
        for width in sweep.widths
    ]
    found = Findings(
        list(sweep.widths),
        study.pgd.ball.epsilon,
        trained,
        _transfer(study, trained),
        _longer(study, sweep) if sweep.longer > 1 else None,
        sweep.longer,
    )
    return study.exhibit(
        'figure_3',
        'figure 3, capacity',
        setting=f'epsilon {found.epsilon:g}; judged by FGSM, by FGSM with exact gradients and by '
        f'{study.pgd}, n = {len(study.test):,}; training losses over '
        f'{_loss_images(study):,} training images',
        networks=[t.reference for t in found.everyone],
        remarks=[*all_claims(found), *_how_trained(sweep, trained)],
        tables=_tables(sweep, found),
        pictures=_pictures(study, sweep, found),
        data={
            'trained': [_numbers(t) for t in trained],
            'longer': found.longer and _numbers(found.longer),
            'transferred': [
                {
                    'source': t.source.words,
                    'target': t.target.words,
                    'fooled': t.fooled.value,
                    'interval': t.fooled[1:],
                    'n': t.n,
                    'cosine': _shown_cosine(t),
                }
                for t in found.transferred
            ],
        },
    )


def _measure(
    study: Study, sweep: Sweep, width: str, adversary: str, kind: str = 'usual'
) -> Trained:
    config = dataclasses.replace(sweep.config, **sweep.widths[width], adversary=adversary)
    reference = sweep.released.get((width, adversary)) or _trained_here(
        study, sweep, config, f'{adversary}-{width}-{kind}'
    )
    natural = dataclasses.replace(study.pgd, steps=0, random_start=False)
    attacks = {
        NATURAL: natural,
        FGSM: fgsm(study.pgd.ball),
        EXACT: fgsm(study.pgd.ball, LogOdds()),
        PGD: study.pgd,
    }
    outcomes = {
        judged: study.accuracy(attack, reference, reference) for judged, attack in attacks.items()
    }
    images = sweep.training_set.subset(slice(_loss_images(study)))
    on_training = dataclasses.replace(study, test=images)
    loss = on_training.accuracy(sweep.adversary(config) or natural, reference, reference).loss
    return Trained(width, adversary, outcomes, loss, reference)


def _trained_here(study: Study, sweep: Sweep, config: TrainingConfig, name: str) -> str:
    """The folder of a training, which is finished then."""
    # Named after all that shapes the run, so that another one does not meet it.
    short = hashlib.sha256(json.dumps(config.to_json()).encode()).hexdigest()[:8]
    folder = study.output_dir / 'cache' / 'capacity' / f'{study.key}-{name}-{short}'
    print(f'training for figure 3: {folder}', flush=True)
    train_in(folder, config, sweep.train, sweep.data_dir)
    return str(folder)


def _longer(study: Study, sweep: Sweep) -> Trained:
    """The largest network, trained naturally for much longer than its accuracy needs."""
    config = dataclasses.replace(sweep.config, train_steps=sweep.config.train_steps * sweep.longer)
    longer = dataclasses.replace(sweep, config=config, released={})
    return _measure(study, longer, list(sweep.widths)[-1], 'none', 'longer')


def _loss_images(study: Study) -> int:
    return len(study.test) if study.quick else _LOSS_IMAGES


def _transfer(study: Study, trained: Sequence[Trained]) -> list[Transferred]:
    """From the ends of natural training and the largest network of PGD training to all others.

    Collapsed networks are no sources: there are no gradients to follow.
    """
    natural, pgd = (
        [t for t in trained if t.adversary == adversary and not t.collapsed]
        for adversary in ('none', 'pgd')
    )
    ends = [*natural[:1], *natural[-1:], *pgd[-1:]]
    sources = {t.reference: t for t in ends}.values()  # each once where there is one width
    gradients = {t.reference: input_gradients(study, t.reference) for t in trained}
    transferred = []
    for source in sources:
        targets = [t for t in trained if t is not source]
        outcomes = study.accuracies(study.pgd, source.reference, [t.reference for t in targets])
        transferred += [
            _moved(
                source,
                target,
                outcome,
                _cosine(gradients[source.reference], gradients[target.reference]),
            )
            for target, outcome in zip(targets, outcomes, strict=True)
        ]
    return transferred


def _moved(source: Trained, target: Trained, outcome: Outcome, cosine: Measured) -> Transferred:
    right = target.outcomes[NATURAL].correct
    fooled, n = int(np.sum(right & ~outcome.correct)), int(np.sum(right))
    interval = wilson_interval(fooled, n) if n else (0.0, 1.0)
    return Transferred(source, target, Measured(fooled / max(n, 1), *interval), n, cosine)


def _cosine(a: np.ndarray, b: np.ndarray) -> Measured:
    """`mean_cosine` with its 95% interval, that of the mean of many numbers."""
    mean = mean_cosine(a, b)
    each = np.einsum('np,np->n', a, b)[a.any(axis=1) & b.any(axis=1)]
    margin = 1.96 * float(each.std()) / math.sqrt(len(each)) if len(each) else math.nan
    return Measured(mean, mean - margin, mean + margin)


# What is shown.


def _how_trained(sweep: Sweep, trained: Sequence[Trained]) -> list[str]:
    own = [t for t in trained if t.reference not in sweep.commands]
    released = [t for t in trained if t.reference in sweep.commands]
    config = sweep.config
    return [
        *(
            [
                f'Trained here ({"; ".join(t.words for t in own)}): {config.train_steps:,} '
                f'steps of batch {config.batch_size}, seed {config.seed}.'
            ]
            if own
            else []
        ),
        *(
            f'{t.words}: the released {t.reference}, {sweep.commands[t.reference]}'
            for t in released
        ),
        *([f'Why numbers differ: {sweep.why}'] if sweep.papers and sweep.why else []),
    ]


def _numbers(trained: Trained) -> dict[str, Any]:
    return {
        'width': trained.width,
        'adversary': trained.adversary,
        'training_loss': trained.training_loss,
        'collapsed': trained.collapsed,
        **{
            name: {'accuracy': o.accuracy, 'interval': o.interval, 'loss': o.loss, 'n': o.n}
            for name, o in trained.outcomes.items()
        },
    }


def _mark(trained: Trained) -> str:
    return ' (collapsed)' if trained.collapsed else ''


def _shown_cosine(transferred: Transferred) -> float | None:
    known = transferred.tells and not math.isnan(transferred.cosine.value)
    return transferred.cosine.value if known else None


def _tables(sweep: Sweep, found: Findings) -> list[Table]:
    accuracies = [
        {
            'trained': ADVERSARIES[t.adversary]
            + (f', {sweep.longer} times longer' if t is found.longer else '')
            + _mark(t),
            'width': t.width,
            **{
                name: f'{o.accuracy:.2%} ({o.interval[0]:.2%} to {o.interval[1]:.2%})'
                for name, o in t.outcomes.items()
            },
            **_beside(sweep, t, t is found.longer),
        }
        for t in found.everyone
    ]
    losses = [
        {
            'width': width,
            **{
                f'trained: {ADVERSARIES[t.adversary]}': f'{t.training_loss:.4f}{_mark(t)}'
                for t in found.trained
                if t.width == width
            },
        }
        for width in found.widths
    ]
    transferred = [
        {
            'source': t.source.words,
            'target': t.target.words + _mark(t.target),
            'fooled': f'{t.fooled.value:.1%}',
            '95% interval': f'{t.fooled.low:.1%} to {t.fooled.high:.1%}',
            'n': f'{t.n:,}',
            'cosine of gradients': None if _shown_cosine(t) is None else f'{t.cosine.value:.3f}',
        }
        for t in found.transferred
    ]
    return [
        Table.of('Accuracy, with 95% intervals', accuracies),
        Table.of('Final loss on training images, under the adversary of the training', losses),
        *(
            [
                Table.of(
                    'PGD examples of one network on another: share fooled of the images that '
                    'it classifies correctly',
                    transferred,
                )
            ]
            if transferred
            else []
        ),
    ]


def _beside(sweep: Sweep, trained: Trained, other: bool) -> dict[str, str | None]:
    """The paper's accuracies as a column, where it gives any."""
    if not sweep.papers:
        return {}
    found = None if other else sweep.papers.get((trained.width, trained.adversary))
    return {'the paper': found and ' / '.join(f'{value:.1%}' for value in found)}


def _pictures(study: Study, sweep: Sweep, found: Findings) -> list[Picture]:
    x, axis = list(range(len(found.widths))), {'xlabel': 'capacity scale'}
    axis.update(xticks=x, xnames=found.widths)

    def line(plots: ModuleType, judged: str, adversary: str) -> Any:
        measured = [t.measured(judged) for t in found.of(adversary)]
        return plots.Line(judged, x, *zip(*measured, strict=True))

    def accuracies(plots: ModuleType, path: pathlib.Path) -> None:
        plots.lines(
            path,
            [
                (f'training: {words}', [line(plots, judged, adversary) for judged in JUDGED])
                for adversary, words in ADVERSARIES.items()
            ],
            ylabel='accuracy',
            percent=True,
            **axis,
        )

    def losses(plots: ModuleType, path: pathlib.Path) -> None:
        plots.lines(
            path,
            [
                (
                    'final training loss',
                    [
                        plots.Line(
                            f'training: {words}', x, [t.training_loss for t in found.of(adversary)]
                        )
                        for adversary, words in ADVERSARIES.items()
                    ],
                )
            ],
            ylabel='cross-entropy',
            yscale='log',
            width=5.5,
            **axis,
        )

    def bars(plots: ModuleType, path: pathlib.Path) -> None:
        plots.bars(
            path,
            [f'training: {words}' for words in ADVERSARIES.values()],
            {judged: [t.measured(judged) for t in found.trained] for judged in JUDGED},
            papers={judged: [_paper(sweep, t, judged) for t in found.trained] for judged in JUDGED},
        )

    if len(found.widths) == 1:
        return draw(study.path('figure_3'), 'Accuracy for three kinds of training', bars)
    return [
        *draw(
            study.path('figure_3'), 'Accuracy over capacity for three kinds of training', accuracies
        ),
        *draw(study.path('figure_3_loss'), 'Final training loss over capacity', losses),
    ]


def _paper(sweep: Sweep, trained: Trained, judged: str) -> float | None:
    found = sweep.papers.get((trained.width, trained.adversary))
    return dict(zip((NATURAL, FGSM, PGD), found, strict=True)).get(judged) if found else None
