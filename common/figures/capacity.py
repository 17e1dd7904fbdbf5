"""Figure 3: what capacity does, trained naturally, against FGSM and against PGD (section 4)."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common import run_folder
from common.attacks import Attack, fgsm
from common.data import Examples
from common.evaluation import Outcome, wilson_interval
from common.exhibits import Exhibit, Picture, Table
from common.figures.study import Study, draw
from common.figures.transfer import input_gradients, mean_cosine

ADVERSARIES = {'none': 'natural', 'fgsm': 'FGSM', 'pgd': 'PGD'}
"""Name of --adversary -> how the paper's figure calls it."""

_LOSS_IMAGES = 10_000  # of the final training loss


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The networks of the figure.

    Attributes:
        widths: name of a width -> what it changes in config.json.
        config: of every training, but for width and adversary.
        train: (config, folder, data_dir) -> None; trains there, or goes on, or finds it done.
        data_dir: folder of TFDS's prepared data sets; None follows TFDS's own rules.
        training_set: the final training loss is measured on the first of its images.
        adversary: config -> the attack that makes training examples; None for natural training.
        released: (width, adversary) -> released network that needs no training here.
        commands: released network -> the command that trained it.
        papers: (width, adversary) -> the paper's accuracies: natural, FGSM, PGD.
        longer: how many times longer the largest network is trained naturally once more; 1 for no
            such training.
    """

    widths: dict[str, dict[str, Any]]
    config: dict[str, Any]
    train: Callable[[dict[str, Any], pathlib.Path, str | None], None]
    data_dir: str | None
    training_set: Examples
    adversary: Callable[[dict[str, Any]], Attack | None]
    released: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    commands: dict[str, str] = dataclasses.field(default_factory=dict)
    papers: dict[tuple[str, str], tuple[float, float, float]] = dataclasses.field(
        default_factory=dict)
    longer: int = 1


@dataclasses.dataclass(frozen=True)
class _Trained:
    """One network and its numbers."""

    width: str
    adversary: str
    reference: str
    outcomes: dict[str, Outcome]  # 'natural', 'FGSM', 'PGD'
    training_loss: float


    @property
    def words(self) -> str:
        """The network by its training."""
        return f'{ADVERSARIES[self.adversary]} training, width {self.width}'


@dataclasses.dataclass(frozen=True)
class _Transferred:
    """What PGD examples of one network do to another one."""

    source: _Trained
    target: _Trained
    fooled: float  # share of the images that the target classifies correctly when natural
    interval: tuple[float, float]  # of it, 95%
    n: int  # such images
    cosine: float  # mean, between the two networks' input gradients


def figure_3(study: Study, sweep: Sweep) -> Exhibit:
    """Accuracies and final training losses over capacity.

    Args:
        study: the data set; its PGD judges.
        sweep: the networks.

    Raises:
        UserError: training or evaluation failed.
    """
    trained = [_measure(study, sweep, width, adversary)
               for adversary in ADVERSARIES for width in sweep.widths]
    longer = _longer(study, sweep) if sweep.longer > 1 else None
    transferred = _transfer(study, trained)
    everyone = [*trained, *([longer] if longer else [])]
    return study.exhibit(
        'figure_3', 'figure 3, capacity',
        setting=f'epsilon {study.pgd.ball.epsilon:g}; judged by FGSM and {study.pgd}, '
                f'n = {len(study.test):,}; training losses over {_loss_images(study):,} training '
                'images',
        networks=[t.reference for t in everyone],
        remarks=[*_claims(list(sweep.widths), trained, longer, transferred),
                 *_how_trained(sweep, trained)],
        tables=_tables(sweep, trained, longer, transferred),
        pictures=_pictures(study, sweep, trained),
        data={'trained': [_numbers(t) for t in trained],
              'longer': longer and _numbers(longer),
              'transferred': [
                  {'source': t.source.words, 'target': t.target.words, 'fooled': t.fooled,
                   'interval': t.interval, 'n': t.n, 'cosine': t.cosine} for t in transferred]})


def _how_trained(sweep: Sweep, trained: Sequence[_Trained]) -> list[str]:
    own = [t for t in trained if t.reference not in sweep.commands]
    released = [t for t in trained if t.reference in sweep.commands]
    config = sweep.config
    return [
        *([f'Trained here ({"; ".join(t.words for t in own)}): {config["train_steps"]:,} steps of '
           f'batch {config["batch_size"]}, seed {config["seed"]}.'] if own else []),
        *(f'{t.words}: the released {t.reference}, {sweep.commands[t.reference]}'
          for t in released)]


def _numbers(trained: _Trained) -> dict[str, Any]:
    return {'width': trained.width, 'adversary': trained.adversary,
            'training_loss': trained.training_loss,
            **{name: {'accuracy': o.accuracy, 'interval': o.interval, 'loss': o.loss, 'n': o.n}
               for name, o in trained.outcomes.items()}}


def _longer(study: Study, sweep: Sweep) -> _Trained:
    """The largest network, trained naturally for much longer than its accuracy needs."""
    steps = sweep.config['train_steps'] * sweep.longer
    longer = dataclasses.replace(
        sweep, config={**sweep.config, 'train_steps': steps}, released={})
    return _measure(study, longer, list(sweep.widths)[-1], 'none', 'longer')


def _transfer(study: Study, trained: Sequence[_Trained]) -> list[_Transferred]:
    """From the ends of natural training and the largest network of PGD training to all others."""
    natural = _of(trained, 'none')
    ends = [natural[0], natural[-1], _of(trained, 'pgd')[-1]]
    sources = {t.reference: t for t in ends}.values()  # each once where there is one width
    gradients = {t.reference: input_gradients(study, t.reference) for t in trained}
    transferred = []
    for source in sources:
        targets = [t for t in trained if t is not source]
        outcomes = study.accuracies(study.pgd, source.reference, [t.reference for t in targets])
        transferred += [
            _moved(source, target, outcome, mean_cosine(
                gradients[source.reference], gradients[target.reference]))
            for target, outcome in zip(targets, outcomes, strict=True)]
    return transferred


def _moved(source: _Trained, target: _Trained, outcome: Outcome, cosine: float) -> _Transferred:
    right = target.outcomes['natural'].correct
    fooled, n = int(np.sum(right & ~outcome.correct)), int(np.sum(right))
    return _Transferred(source, target, fooled / max(n, 1),
                        wilson_interval(fooled, n) if n else (0.0, 1.0), n, cosine)


def _measure(
    study: Study, sweep: Sweep, width: str, adversary: str, kind: str = 'usual'
) -> _Trained:
    config = {**sweep.config, **sweep.widths[width], 'adversary': adversary}
    reference = sweep.released.get((width, adversary))
    if reference is None:
        # Named after all that shapes the run, so that another one does not meet it.
        short = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
        name = f'{study.key}-{adversary}-{width}-{kind}-{short}'
        folder = study.output_dir / 'cache' / 'capacity' / name
        print(f'{ADVERSARIES[adversary]} training, width {width}: {folder}', flush=True)
        sweep.train(config, run_folder.check(folder, config), sweep.data_dir)
        reference = str(folder)
    none = dataclasses.replace(study.pgd, steps=0, random_start=False)
    outcomes = {
        'natural': study.accuracy(none, reference, reference),
        'FGSM': study.accuracy(fgsm(study.pgd.ball), reference, reference),
        'PGD': study.accuracy(study.pgd, reference, reference)}
    images = sweep.training_set.subset(slice(_loss_images(study)))
    on_training = dataclasses.replace(study, test=images)
    loss = on_training.accuracy(sweep.adversary(config) or none, reference, reference).loss
    return _Trained(width, adversary, reference, outcomes, loss)


def _loss_images(study: Study) -> int:
    return len(study.test) if study.quick else _LOSS_IMAGES


def _of(trained: Sequence[_Trained], adversary: str) -> list[_Trained]:
    return [t for t in trained if t.adversary == adversary]


def _tables(
    sweep: Sweep, trained: Sequence[_Trained], longer: _Trained | None,
    transferred: Sequence[_Transferred],
) -> list[Table]:
    accuracies = [{
        'trained': ADVERSARIES[t.adversary] + (
            f', {sweep.longer} times longer' if t is longer else ''), 'width': t.width,
        **{name: f'{o.accuracy:.2%} ({o.interval[0]:.2%} to {o.interval[1]:.2%})'
           for name, o in t.outcomes.items()},
        **_beside(sweep, t, t is longer)}
        for t in (*trained, *([longer] if longer else []))]
    losses = [{'width': width, **{
        f'trained: {words}': f'{t.training_loss:.4f}' for adversary, words in ADVERSARIES.items()
        for t in _of(trained, adversary) if t.width == width}} for width in sweep.widths]
    return [Table.of('Accuracy, with 95% intervals', accuracies),
            Table.of('Final loss on training images, under the adversary of the training', losses),
            Table.of('PGD examples of one network on another: share fooled of the images that it '
                     'classifies correctly', [
                         {'source': t.source.words, 'target': t.target.words,
                          'fooled': f'{t.fooled:.1%}',
                          '95% interval': f'{t.interval[0]:.1%} to {t.interval[1]:.1%}',
                          'n': f'{t.n:,}', 'cosine of gradients': f'{t.cosine:.3f}'}
                         for t in transferred])]


def _beside(sweep: Sweep, trained: _Trained, other: bool) -> dict[str, str | None]:
    """The paper's accuracies as a column, where it gives any."""
    if not sweep.papers:
        return {}
    found = None if other else sweep.papers.get((trained.width, trained.adversary))
    return {'the paper': found and ' / '.join(f'{value:.1%}' for value in found)}


def _pictures(study: Study, sweep: Sweep, trained: Sequence[_Trained]) -> list[Picture]:
    x = list(range(len(sweep.widths)))

    def accuracies(plots, path):
        plots.lines(
            path, [(f'training: {words}', [plots.Line(
                judged, x, [t.outcomes[judged].accuracy for t in _of(trained, adversary)],
                [t.outcomes[judged].interval[0] for t in _of(trained, adversary)],
                [t.outcomes[judged].interval[1] for t in _of(trained, adversary)])
                for judged in ('natural', 'FGSM', 'PGD')])
                for adversary, words in ADVERSARIES.items()],
            xlabel='capacity scale', ylabel='accuracy', percent=True,
            xticks=x, xnames=list(sweep.widths))

    def losses(plots, path):
        plots.lines(
            path, [('final training loss', [plots.Line(
                f'training: {words}', x, [t.training_loss for t in _of(trained, adversary)])
                for adversary, words in ADVERSARIES.items()])],
            xlabel='capacity scale', ylabel='cross-entropy', yscale='log', width=5.5,
            xticks=x, xnames=list(sweep.widths))

    def bars(plots, path):
        plots.bars(
            path, [f'training: {words}' for words in ADVERSARIES.values()],
            {judged: [[o.accuracy, *o.interval] for o in (t.outcomes[judged] for t in trained)]
             for judged in ('natural', 'FGSM', 'PGD')},
            papers={judged: [sweep.papers.get((t.width, t.adversary), (None,) * 3)[i]
                             for t in trained]
                    for i, judged in enumerate(('natural', 'FGSM', 'PGD'))})

    if len(sweep.widths) == 1:
        return draw(study.path('figure_3'), 'Accuracy for three kinds of training', bars)
    return [
        *draw(study.path('figure_3'), 'Accuracy over capacity for three kinds of training',
              accuracies),
        *draw(study.path('figure_3_loss'), 'Final training loss over capacity', losses)]


def _claims(
    widths: Sequence[str], trained: Sequence[_Trained], longer: _Trained | None,
    transferred: Sequence[_Transferred],
) -> list[str]:
    """Each claim of the paper's section 4, with the numbers for or against it."""
    found = {(t.adversary, t.width): t for t in trained}
    large = widths[-1]

    def shown(adversary: str, width: str, judged: str) -> str:
        return f'{found[adversary, width].outcomes[judged].accuracy:.1%}'

    much_longer = [] if longer is None else [
        'Training for much longer than natural accuracy needs significantly raises adversarial '
        f'accuracy (paper). Measured: under FGSM {shown("none", large, "FGSM")} becomes '
        f'{longer.outcomes["FGSM"].accuracy:.1%}, under PGD {shown("none", large, "PGD")} becomes '
        f'{longer.outcomes["PGD"].accuracy:.1%}.']
    return [
        *(_of_capacity(widths, shown, found) if len(widths) > 1 else []), *much_longer,
        'FGSM training helps against one-step attacks, and against iterative ones where epsilon is '
        f'small, which on colour images it is not (paper). Measured at width {large}: FGSM '
        f'training leaves {shown("fgsm", large, "FGSM")} under FGSM and '
        f'{shown("fgsm", large, "PGD")} under PGD, natural training '
        f'{shown("none", large, "FGSM")} and '
        f'{shown("none", large, "PGD")}, PGD training {shown("pgd", large, "FGSM")} and '
        f'{shown("pgd", large, "PGD")}.',
        'Label leaking is a higher accuracy on FGSM examples than on natural images, and suggests '
        'insufficient capacity (paper). Measured with FGSM training: ' + '; '.join(
            f'width {width}, {_difference(found["fgsm", width])}' for width in widths) + '.',
        'More capacity and stronger adversaries decrease transferability, and gradients correlate '
        'less (paper). ' + ' '.join(
            _of_source(source, transferred)
            for source in dict.fromkeys(t.source.words for t in transferred))]


def _of_capacity(widths: Sequence[str], shown, found) -> list[str]:
    small, large = widths[0], widths[-1]

    def change(adversary: str, judged: str) -> str:
        return f'from {shown(adversary, small, judged)} to {shown(adversary, large, judged)}'

    losses = ', '.join(f'{found["pgd", width].training_loss:.3g}' for width in widths)
    return [
        'Capacity alone helps, against one-step attacks (paper). Measured with natural training: '
        f'accuracy under FGSM goes {change("none", "FGSM")} and under PGD '
        f'{change("none", "PGD")} from width {small} to {large}.',
        'Weak models may fail to converge when trained against PGD (paper). Measured: width '
        f'{small} reaches {shown("pgd", small, "natural")} natural and '
        f'{shown("pgd", small, "PGD")} under PGD; trained naturally, '
        f'{shown("none", small, "natural")}.',
        'The value of the saddle point falls with capacity (paper). Measured: final PGD training '
        f'losses {losses} at widths {", ".join(widths)}.']


def _difference(trained: _Trained) -> str:
    natural, attacked = trained.outcomes['natural'], trained.outcomes['FGSM']
    points = 100 * (attacked.accuracy - natural.accuracy)
    apart = natural.interval[1] < attacked.interval[0] or attacked.interval[1] < natural.interval[0]
    return (f'{points:+.2f} points under FGSM' if apart
            else f'{points:+.2f} points, within the intervals')


def _of_source(source: str, transferred: Sequence[_Transferred]) -> str:
    parts = [f'{ADVERSARIES[adversary]} training ' + ', '.join(
        f'{t.fooled:.1%} (width {t.target.width}, cosine {t.cosine:.2f})'
        for t in transferred if t.source.words == source and t.target.adversary == adversary)
        for adversary in ADVERSARIES
        if any(t.source.words == source and t.target.adversary == adversary for t in transferred)]
    return f'Examples of {source} fool: {"; ".join(parts)}.'
