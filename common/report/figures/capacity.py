"""Figure 3: the effect of capacity, trained naturally, against FGSM and against PGD (section 4)."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common.attacks import Attack, fgsm
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome
from common.losses import LogOdds
from common.report.claims import Measured
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.cached_training import Train, train_in
from common.report.figures.capacity_claims import all_claims
from common.report.figures.capacity_findings import (
    ADVERSARIES,
    EXACT,
    FGSM,
    JUDGED,
    NATURAL,
    PGD,
    Findings,
    Trained,
    Transferred,
)
from common.report.figures.study import Study
from common.report.figures.transfer import image_cosines, input_gradients
from common.report.series import Line
from common.training.config import TrainingConfig

_LOSS_IMAGES = 10_000  # training images that the final loss is measured on


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
    findings = Findings(
        list(sweep.widths),
        study.pgd.ball.epsilon,
        trained,
        _transfer(study, trained),
        _longer(study, sweep) if sweep.longer > 1 else None,
        sweep.longer,
        sweep.large_epsilon,
    )
    return study.exhibit(
        'figure_3',
        'figure 3, capacity',
        setting=f'epsilon {findings.epsilon:g}; judged by FGSM, by FGSM with exact gradients and '
        f'by {study.pgd}, n = {len(study.test):,}; training losses over '
        f'{_loss_images(study):,} training images',
        networks=[t.reference for t in findings.everyone],
        claims=all_claims(findings),
        remarks=_remarks(sweep),
        tables=_tables(sweep, findings),
        pictures=_pictures(study, sweep, findings),
        data=_data(findings),
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
    """The folder of a training that is finished when this returns."""
    # Named after everything that shapes the run, so that no other run uses the folder.
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
        for target, outcome in zip(targets, outcomes, strict=True):
            both = gradients[source.reference], gradients[target.reference]
            cosine = Measured.mean(image_cosines(*both))
            transferred.append(_moved(source, target, outcome, cosine))
    return transferred


def _moved(source: Trained, target: Trained, outcome: Outcome, cosine: Measured) -> Transferred:
    right = target.outcomes[NATURAL].correct
    fooled, n = int(np.sum(right & ~outcome.correct)), int(np.sum(right))
    return Transferred(source, target, Measured.share(fooled, n), n, cosine)


# What is shown.


_REMARK = (
    "Claims use FGSM with exact gradients, since plain FGSM loses the true class's part of the "
    'gradient where a probability rounds to 1 in float32; collapsed networks, which predict one '
    'class for all images, are no evidence.'
)


def _remarks(sweep: Sweep) -> list[str]:
    why = [f'Why numbers differ from the paper: {sweep.why}'] if sweep.papers and sweep.why else []
    return [_REMARK, *why]


def _data(findings: Findings) -> dict[str, Any]:
    return {
        'trained': [_numbers(t) for t in findings.trained],
        'longer': findings.longer and _numbers(findings.longer),
        'transferred': [
            {
                'source': t.source.words,
                'target': t.target.words,
                'fooled': t.fooled.value if t.n else 0.0,
                'interval': t.fooled[1:],
                'n': t.n,
                'cosine': _shown_cosine(t),
            }
            for t in findings.transferred
        ],
    }


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


def _shown_cosine(transferred: Transferred) -> float | None:
    known = transferred.is_evidence and not math.isnan(transferred.cosine.value)
    return transferred.cosine.value if known else None


def _tables(sweep: Sweep, findings: Findings) -> list[Table]:
    tables = [_accuracies(sweep, findings), _losses(findings), _how_trained(sweep, findings)]
    return [*tables, _transfers(findings)] if findings.transferred else tables


def _accuracies(sweep: Sweep, findings: Findings) -> Table:
    rows = []
    for t in findings.everyone:
        longer = t is findings.longer
        row = {
            'trained': _training(sweep, t, longer) + t.mark,
            'width': t.width,
            **{
                name: f'{o.accuracy:.2%} ({o.interval[0]:.2%} to {o.interval[1]:.2%})'
                for name, o in t.outcomes.items()
            },
        }
        if sweep.papers:
            paper = None if longer else sweep.papers.get((t.width, t.adversary))
            row['the paper'] = paper and ' / '.join(f'{value:.1%}' for value in paper)
        rows.append(row)
    return Table.of('Accuracy, with 95% intervals', rows)


def _training(sweep: Sweep, trained: Trained, longer: bool) -> str:
    return ADVERSARIES[trained.adversary] + (f', {sweep.longer} times longer' if longer else '')


def _losses(findings: Findings) -> Table:
    rows = [
        {
            'width': width,
            **{
                f'trained: {ADVERSARIES[t.adversary]}': f'{t.training_loss:.4f}{t.mark}'
                for t in findings.trained
                if t.width == width
            },
        }
        for width in findings.widths
    ]
    return Table.of('Final loss on training images, under the adversary of the training', rows)


def _transfers(findings: Findings) -> Table:
    rows = []
    for t in findings.transferred:
        cosine = _shown_cosine(t)
        rows.append(
            {
                'source': t.source.words,
                'target': t.target.words + t.target.mark,
                'fooled': f'{t.fooled.value:.1%}' if t.n else None,
                '95% interval': f'{t.fooled.low:.1%} to {t.fooled.high:.1%}',
                'n': f'{t.n:,}',
                'cosine of gradients': None if cosine is None else f'{cosine:.3f}',
            }
        )
    return Table.of(
        'PGD examples of one network on another: share fooled of the images that it classifies '
        'correctly',
        rows,
    )


def _how_trained(sweep: Sweep, findings: Findings) -> Table:
    config = sweep.config
    here = f'{{:,}} steps of batch {config.batch_size}, seed {config.seed}'
    rows = []
    for t in findings.everyone:
        longer = t is findings.longer
        steps = config.train_steps * (sweep.longer if longer else 1)
        released = f'released as {t.reference}: {sweep.commands.get(t.reference)}'
        rows.append(
            {
                'trained': _training(sweep, t, longer),
                'width': t.width,
                'how': released if t.reference in sweep.commands else here.format(steps),
            }
        )
    return Table.of('How each network was trained', rows)


def _pictures(study: Study, sweep: Sweep, findings: Findings) -> list[Picture]:
    if len(findings.widths) == 1:
        return _bars(study, sweep, findings)
    return [*_accuracy_lines(study, findings), *_loss_lines(study, findings)]


def _axis(findings: Findings) -> dict[str, Any]:
    places = list(range(len(findings.widths)))
    return {'xlabel': 'capacity scale', 'xticks': places, 'xnames': findings.widths}


def _accuracy_lines(study: Study, findings: Findings) -> list[Picture]:
    axis = _axis(findings)

    def line(judged: str, adversary: str) -> Line:
        measured = [t.measured(judged) for t in findings.of(adversary)]
        return Line(judged, axis['xticks'], *zip(*measured, strict=True))

    panels = [
        (f'training: {words}', [line(judged, adversary) for judged in JUDGED])
        for adversary, words in ADVERSARIES.items()
    ]
    words = 'Accuracy over capacity for three kinds of training'
    return study.draw('figure_3', words, 'lines', panels, ylabel='accuracy', percent=True, **axis)


def _loss_lines(study: Study, findings: Findings) -> list[Picture]:
    axis = _axis(findings)
    lines = [
        Line(
            f'training: {words}', axis['xticks'], [t.training_loss for t in findings.of(adversary)]
        )
        for adversary, words in ADVERSARIES.items()
    ]
    return study.draw(
        'figure_3_loss',
        'Final training loss over capacity',
        'lines',
        [('final training loss', lines)],
        ylabel='cross-entropy',
        yscale='log',
        width=5.5,
        **axis,
    )


def _bars(study: Study, sweep: Sweep, findings: Findings) -> list[Picture]:
    trained = findings.trained
    return study.draw(
        'figure_3',
        'Accuracy for three kinds of training',
        'bars',
        [f'training: {words}' for words in ADVERSARIES.values()],
        {judged: [t.measured(judged) for t in trained] for judged in JUDGED},
        papers={judged: [_paper(sweep, t, judged) for t in trained] for judged in JUDGED},
    )


def _paper(sweep: Sweep, trained: Trained, judged: str) -> float | None:
    accuracies = sweep.papers.get((trained.width, trained.adversary))
    if accuracies is None:
        return None
    return dict(zip((NATURAL, FGSM, PGD), accuracies, strict=True)).get(judged)
