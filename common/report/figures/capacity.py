"""Figure 3: the effect of capacity, trained naturally, against FGSM and against PGD (section 4)."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from common.attacks import Attack, fgsm
from common.data.batches import Examples
from common.losses import LogOdds
from common.report.exhibit import Exhibit, Line, Picture, Table
from common.report.figures.cached_training import Train, train_in
from common.report.figures.capacity_claims import all_claims
from common.report.figures.capacity_findings import (
    ADVERSARIES,
    FGSM,
    JUDGED,
    NATURAL,
    PGD,
    Findings,
    Trained,
    Transferred,
)
from common.report.figures.study import Study
from common.report.figures.transfer import fooled, image_cosines, input_gradients
from common.statistics import Measured, counted
from common.training.config import TrainingConfig

_LOSS_IMAGES = 10_000  # training images that the final loss is measured on
_REMARK = (
    "Claims use FGSM with exact gradients, since plain FGSM loses the true class's part of the "
    'gradient where a probability rounds to 1 in float32; collapsed networks, which predict one '
    'class for all images, are no evidence.'
)
_WHY = 'Why numbers differ from the paper: '


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The networks of the figure.

    Attributes:
        widths: name of a width -> the settings that it changes.
        config: of every training, without width and adversary.
        train: (config, folder, data_dir) -> None; trains there, resumes, or returns if it is done.
        data_dir: folder of TFDS's prepared data sets; None follows TFDS's own rules.
        training_set: the final training loss is measured on the first of its images.
        adversary: config -> the attack that makes training examples; None for natural training.
        released: (width, adversary) -> released network that needs no training here.
        commands: released network -> the command that trained it.
        papers: (width, adversary) -> the paper's accuracies: natural, FGSM, PGD.
        why: a sentence that may explain differences from the paper's accuracies.
        longer: how many times longer the largest network is trained naturally once more; 1 for no
            such training.
        large_epsilon: whether the paper calls the radius large, where it expects no help of FGSM
            training against iterative attacks.
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
    large_epsilon: bool = False


def figure_3(study: Study, capacity: Callable[[Study], tuple[Study, Sweep]]) -> Exhibit:
    """Accuracies and final training losses over capacity.

    Args:
        study: of the other figures.
        capacity: makes this figure's study, whose PGD judges, and its networks.

    Raises:
        UserError: training or evaluation failed.
    """
    study, sweep = capacity(study)
    trained = [
        _measure(study, sweep, width, adversary)
        for adversary in ADVERSARIES
        for width in sweep.widths
    ]
    widths, longer = list(sweep.widths), None
    if sweep.longer > 1:  # for much longer than the largest network's accuracy needs
        longer = _measure(study, sweep, widths[-1], 'none', sweep.longer)
    findings = Findings(
        widths,
        study.pgd.ball.epsilon,
        trained,
        _transfer(study, trained),
        longer,
        sweep.longer,
        sweep.large_epsilon,
    )
    return study.exhibit(
        'figure_3',
        'figure 3, capacity',
        setting=f'epsilon {findings.epsilon:g}; judged by FGSM, by FGSM with exact gradients and '
        f'by {study.pgd}, n = {len(study.test):,}; training losses over '
        + counted(_loss_images(study), 'training image'),
        networks=[t.reference for t in findings.everyone],
        claims=all_claims(findings),
        remarks=[_REMARK, *([_WHY + sweep.why] if sweep.papers and sweep.why else [])],
        tables=_tables(sweep, findings),
        pictures=_pictures(study, sweep, findings),
        data={
            'trained': [_numbers(t) for t in findings.trained],
            'longer': findings.longer and _numbers(findings.longer),
            'transferred': [
                {
                    'source': t.source.words,
                    'target': t.target.words,
                    'fooled': t.fooled.value if t.n else 0.0,
                    'interval': t.fooled[1:],
                    'n': t.n,
                    'cosine': t.known_cosine,
                }
                for t in findings.transferred
            ],
        },
    )


def _measure(study: Study, sweep: Sweep, width: str, adversary: str, times: int = 1) -> Trained:
    """A released network or, where there is none, one that is trained here, `times` longer."""
    steps = sweep.config.train_steps * times
    changes = {**sweep.widths[width], 'adversary': adversary, 'train_steps': steps}
    config = dataclasses.replace(sweep.config, **changes)
    reference = sweep.released.get((width, adversary))
    if reference is None or times > 1:
        # Named after everything that shapes the run, so that no other run uses the folder.
        short = hashlib.sha256(json.dumps(config.to_json()).encode()).hexdigest()[:8]
        name = f'{study.key}-{adversary}-{width}-{"longer" if times > 1 else "usual"}-{short}'
        folder = study.output_dir / 'cache' / 'capacity' / name
        print(f'training for figure 3: {folder}', flush=True)
        train_in(folder, config, sweep.train, sweep.data_dir)
        reference = str(folder)
    ball = study.pgd.ball
    attacks = study.natural, fgsm(ball), fgsm(ball, LogOdds()), study.pgd
    outcomes = [study.accuracy(attack, reference, reference) for attack in attacks]
    images = sweep.training_set.subset(slice(_loss_images(study)))
    on_training = dataclasses.replace(study, test=images)
    attack = sweep.adversary(config) or study.natural
    loss = on_training.accuracy(attack, reference, reference).loss
    return Trained(width, adversary, dict(zip(JUDGED, outcomes, strict=True)), loss, reference)


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
    gradients = {t.reference: input_gradients(study, t.reference) for t in trained}
    transferred = []
    for source in {t.reference: t for t in ends}.values():  # each once where there is one width
        targets = [t for t in trained if t is not source]
        outcomes = study.accuracies(study.pgd, source.reference, [t.reference for t in targets])
        for target, outcome in zip(targets, outcomes, strict=True):
            of_right = fooled(target.outcomes[NATURAL], outcome)
            cosines = image_cosines(gradients[source.reference], gradients[target.reference])
            transferred.append(
                Transferred(
                    source, target, Measured.share(of_right), len(of_right), Measured.mean(cosines)
                )
            )
    return transferred


_SHOWN = 'width', 'adversary', 'training_loss', 'collapsed'


def _numbers(trained: Trained) -> dict[str, Any]:
    return {
        **{name: getattr(trained, name) for name in _SHOWN},
        **{
            name: {'accuracy': o.accuracy, 'interval': o.interval, 'loss': o.loss, 'n': o.n}
            for name, o in trained.outcomes.items()
        },
    }


def _tables(sweep: Sweep, findings: Findings) -> list[Table]:
    networks, config = {}, sweep.config
    for t in findings.everyone:
        times = sweep.longer if t is findings.longer else 1
        how = (
            f'{config.train_steps * times:,} steps of batch {config.batch_size}, seed {config.seed}'
        )
        if t.reference in sweep.commands:
            how = f'released as {t.reference}: {sweep.commands[t.reference]}'
        paper = sweep.papers.get((t.width, t.adversary)) if times == 1 else None
        networks[t.words + (f', {times} times longer' if times > 1 else '') + t.mark] = (
            *(t.measured(judged).shown() for judged in JUDGED),
            paper and ' / '.join(f'{value:.1%}' for value in paper),
            f'{t.training_loss:.4f}',
            how,
        )
    columns = *JUDGED, 'the paper', 'final training loss', 'how'
    title = 'Accuracy, and loss under the adversary of the training'
    tables = [Table.matrix(title, columns, networks)]
    transfers = {
        f'{t.source.words}, on {t.target.words}{t.target.mark}': (
            t.fooled.shown('.1%'),
            f'{t.n:,}',
            t.known_cosine and f'{t.known_cosine:.3f}',
        )
        for t in findings.transferred
    }
    title = 'PGD examples of one network on another, which classifies n images correctly'
    columns = 'fooled of these', 'n', 'cosine of gradients'
    return [*tables, Table.matrix(title, columns, transfers)] if transfers else tables


def _pictures(study: Study, sweep: Sweep, findings: Findings) -> list[Picture]:
    if len(findings.widths) == 1:
        return _matrix(study, sweep, findings)
    panels, losses = [], []
    for adversary, words in ADVERSARIES.items():
        networks = findings.of(adversary)
        panels.append(
            (
                f'training: {words}',
                [
                    Line.of(judged, findings.widths, [t.measured(judged) for t in networks])
                    for judged in JUDGED
                ],
            )
        )
        values = [t.training_loss for t in networks]
        losses.append(Line(f'training: {words}', findings.widths, values))
    return [
        *study.draw(
            'figure_3',
            'Accuracy over capacity for three kinds of training',
            'lines',
            panels,
            xlabel='capacity scale',
            ylabel='accuracy',
            percent=True,
        ),
        *study.draw(
            'figure_3_loss',
            'Final training loss over capacity',
            'lines',
            [('final training loss', losses)],
            xlabel='capacity scale',
            ylabel='cross-entropy',
            yscale='log',
        ),
    ]


def _matrix(study: Study, sweep: Sweep, findings: Findings) -> list[Picture]:
    """Each training's accuracies, with the paper's below."""
    trained, papers = findings.trained, [f'the paper: {judged}' for judged in (NATURAL, FGSM, PGD)]
    rows = {judged: [t.measured(judged).value for t in trained] for judged in JUDGED}
    for i, paper in enumerate(papers):
        known = [sweep.papers.get((t.width, t.adversary)) for t in trained]
        rows[paper] = [accuracies and accuracies[i] for accuracies in known]
    return study.draw(
        'figure_3',
        'Accuracy for three kinds of training',
        'heatmap',
        rows,
        list(ADVERSARIES.values()),
        ylabel='judged by',
        xlabel='training',
        title='accuracy',
    )
