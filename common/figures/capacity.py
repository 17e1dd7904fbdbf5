"""Figure 3: what capacity does, trained naturally, against FGSM and against PGD (section 4)."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from common import run_folder
from common.attacks import Attack, fgsm
from common.data import Examples
from common.evaluation import Outcome
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
    longer: int = 1


@dataclasses.dataclass(frozen=True)
class _Trained:
    """One network and its numbers."""

    width: str
    adversary: str
    reference: str
    outcomes: dict[str, Outcome]  # 'natural', 'FGSM', 'PGD'
    training_loss: float


@dataclasses.dataclass(frozen=True)
class _Transferred:
    """What examples from one naturally trained network do to another network."""

    target: _Trained
    accuracy: float
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
    steps = sweep.config['train_steps']
    return study.exhibit(
        'figure_3', 'figure 3, capacity',
        setting=f'epsilon {study.pgd.ball.epsilon:g}; judged by FGSM and {study.pgd}, '
                f'n = {len(study.test):,}; trained for {steps:,} steps of batch '
                f'{sweep.config["batch_size"]} at seed {sweep.config["seed"]}; training losses '
                f'over {_loss_images(study):,} training images',
        networks=[t.reference for t in trained],
        remarks=_claims(list(sweep.widths), trained, longer, transferred),
        tables=_tables(sweep, trained, longer, transferred),
        pictures=_pictures(study, sweep, trained),
        data={'trained': [_numbers(t) for t in trained],
              'longer': longer and _numbers(longer),
              'transferred': [
                  {'width': t.target.width, 'adversary': t.target.adversary,
                   'accuracy': t.accuracy, 'cosine': t.cosine} for t in transferred]})


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
    """From the largest naturally trained network to all others."""
    source = _of(trained, 'none')[-1]
    gradients = input_gradients(study, source.reference)
    return [_Transferred(
        target, study.accuracy(study.pgd, source.reference, target.reference).accuracy,
        mean_cosine(gradients, input_gradients(study, target.reference)))
        for target in trained if target is not source]


def _measure(
    study: Study, sweep: Sweep, width: str, adversary: str, kind: str = 'usual'
) -> _Trained:
    config = {**sweep.config, **sweep.widths[width], 'adversary': adversary}
    reference = sweep.released.get((width, adversary))
    if reference is None:
        name = f'{study.key}-{adversary}-{width}-{study.pgd.ball.epsilon:g}-{study.budget}-{kind}'
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
           for name, o in t.outcomes.items()}}
        for t in (*trained, *([longer] if longer else []))]
    losses = [{'width': width, **{
        f'trained: {words}': f'{t.training_loss:.4f}' for adversary, words in ADVERSARIES.items()
        for t in _of(trained, adversary) if t.width == width}} for width in sweep.widths]
    return [Table.of('Accuracy, with 95% intervals', accuracies),
            Table.of('Final loss on training images, under the adversary of the training', losses),
            Table.of(f'PGD examples of the naturally trained network of width '
                     f'{list(sweep.widths)[-1]} on the others', [
                         {'trained': ADVERSARIES[t.target.adversary], 'width': t.target.width,
                          'accuracy': f'{t.accuracy:.2%}', 'cosine of gradients': f'{t.cosine:.3f}'}
                         for t in transferred])]


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
    small, large = widths[0], widths[-1]

    def shown(adversary: str, width: str, judged: str) -> str:
        return f'{found[adversary, width].outcomes[judged].accuracy:.1%}'

    def change(adversary: str, judged: str) -> str:
        return f'from {shown(adversary, small, judged)} to {shown(adversary, large, judged)}'

    losses = ', '.join(f'{found["pgd", width].training_loss:.3g}' for width in widths)
    leaking = found['fgsm', large].outcomes
    moved = '; '.join(
        f'{ADVERSARIES[t.target.adversary]} training, width {t.target.width}: {t.accuracy:.1%}, '
        f'cosine {t.cosine:.3f}' for t in transferred)
    much_longer = [] if longer is None else [
        'Training for much longer than natural accuracy needs significantly raises adversarial '
        f'accuracy (paper): under FGSM {shown("none", large, "FGSM")} becomes '
        f'{longer.outcomes["FGSM"].accuracy:.1%}, under PGD {shown("none", large, "PGD")} becomes '
        f'{longer.outcomes["PGD"].accuracy:.1%}.']
    return [
        f'Capacity alone helps (paper): trained naturally, accuracy under FGSM goes '
        f'{change("none", "FGSM")} and under PGD {change("none", "PGD")} from width {small} to '
        f'{large}.',
        *much_longer,
        f'Even weak adversaries benefit robustness (paper): with FGSM training, accuracy under '
        f'FGSM goes {change("fgsm", "FGSM")}, under PGD {change("fgsm", "PGD")}; naturally trained '
        f'networks have {shown("none", large, "PGD")} under PGD at width {large}. Label leaking, '
        'a higher accuracy on FGSM images than on natural ones, is '
        + ('seen' if leaking['FGSM'].accuracy > leaking['natural'].accuracy else 'not seen')
        + f' at width {large} ({shown("fgsm", large, "FGSM")} against '
        f'{shown("fgsm", large, "natural")}).',
        f'Weak models may fail to converge (paper): with PGD training, width {small} reaches '
        f'{shown("pgd", small, "natural")} natural and {shown("pgd", small, "PGD")} under PGD; '
        f'trained naturally, {shown("none", small, "natural")}.',
        f'The value of the saddle point falls with capacity (paper): final PGD training losses '
        f'{losses} at widths {", ".join(widths)}.',
        'More capacity and stronger adversaries decrease transferability, and gradients correlate '
        f'less (paper): examples of the naturally trained network of width {large} leave {moved}.']
