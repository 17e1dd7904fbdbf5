"""The worst case of one network: a cascade of attacks, its sanity checks, records and images."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from common.attacks import PGD
from common.distribution import hosts
from common.errors import UserError
from common.evaluation.attack_table import AttackTable
from common.evaluation.cascade import Stage, Verdict, worst_case
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.evaluation.resumable import PartialResult
from common.evaluation.rows import Row
from common.evaluation.sanity_checks import Check, Suspect, cascade_checks, checks
from common.evaluation.verdict import records, table
from common.files import write_json
from common.networks.logits import ModelLogits
from common.networks.weights import weights_digest

_SAMPLE = 200  # images that the sanity checks use


@dataclasses.dataclass(frozen=True)
class Files:
    """Where the results of a cascade go.

    Attributes:
        cache: folder in which an interrupted cascade leaves its state; the same one continues it.
        json: file for the row and the records of all images; None writes none.
        images: .npy file for the worst example of each image; None writes none.
        shape: shape of that file's array, which holds the images in order; -1 is worked out.
    """

    cache: pathlib.Path
    json: str | None = None
    images: str | None = None
    shape: tuple[int, ...] = (-1,)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a cascade and its sanity checks found.

    Attributes:
        row: the result as a row of a table.
        verdict: the result image by image.
        checks: the sanity checks.
    """

    row: Row
    verdict: Verdict
    checks: tuple[Check, ...]


def evaluate(
    attacks: AttackTable,
    stages: Sequence[Stage],
    files: Files,
    *,
    preset: str,
    others: Sequence[str],
) -> Judgement:
    """Runs a cascade and its sanity checks; prints both, and writes the files.

    Several hosts share cascade and checks; the first one writes.

    Args:
        attacks: the network under evaluation, with images and settings.
        stages: the cascade; the first attack is PGD.
        files: where results go.
        preset: the cascade's name, for the row.
        others: references of networks whose gradients the checks try as well.

    Raises:
        UserError: nothing to attack (a radius or a number of steps of 0), NaN logits, a file that
            cannot be written, or images that are not what the records say.
    """
    pgd = _first(stages)
    verdict, images = _run(attacks, stages, files)
    row = attacks.row_of(
        verdict.outcome, {}, method='worst_case', source=attacks.target, preset=preset
    )
    print(f'{table(verdict)}\n{verdict.accuracy:.2%} survive after {verdict.spent}', flush=True)
    results = {'rows': [row.as_json()], **records(verdict), 'checks': []}
    json = files.json if hosts().first else None
    if json:  # before the checks, so that none of them can lose hours of attacks
        write_json(json, results)
    found = []
    for check in itertools.chain(
        cascade_checks(verdict), _checks(attacks, pgd, others, verdict.survived)
    ):
        found.append(check)
        print(check, flush=True)
    if json:
        write_json(json, {**results, 'checks': [dataclasses.asdict(c) for c in found]})
    if images and files.images and hosts().first:
        images.require(
            attacks.network.judge,
            attacks.settings.ball,
            attacks.examples,
            verdict.survived,
            attacks.settings.crafting.batch_size,
        )
        images.write(files.images, files.shape)
        print(f'wrote {files.images}')
    return Judgement(row, verdict, tuple(found))


def _first(stages: Sequence[Stage]) -> PGD:
    pgd = stages[0].attack
    if not isinstance(pgd, PGD):
        raise ValueError(f'expected PGD as the first attack; found {type(pgd).__name__}')
    if not (pgd.ball.epsilon > 0 and pgd.steps > 0):
        raise UserError(
            f'expected epsilon and steps above 0 for a cascade; found {pgd.ball.epsilon:g} and '
            f'{pgd.steps}.'
        )
    return pgd


def _run(
    attacks: AttackTable, stages: Sequence[Stage], files: Files
) -> tuple[Verdict, ImagesOnDisk | None]:
    """The cascade's verdict and, if they are wanted, the worst images."""
    crafting, examples = attacks.settings.crafting, attacks.examples
    others = {
        name: attacks.networks[name].model
        for name in sorted({stage.source for stage in stages if stage.source})
    }
    partial = PartialResult.of(
        files.cache,
        'worst_case',
        weights_digest(attacks.network.model),
        examples.digest(),
        crafting.batch_size,
        crafting.seed,
        *crafting.precision,
        tuple(stages),
        *map(weights_digest, others.values()),
        bool(files.images),
    )
    images = ImagesOnDisk(partial, examples) if files.images else None
    verdict = worst_case(
        stages,
        attacks.network.model,
        attacks.network.judge,
        examples,
        crafting=crafting,
        others=others,
        progress=f'worst case of {attacks.target}',
        on_batch=images.keep if images else None,
        partial=partial,
    )
    return verdict, images


def _checks(
    attacks: AttackTable, pgd: PGD, others: Sequence[str], survived: np.ndarray
) -> Iterator[Check]:
    """The sanity checks on a sample of the images, evenly spaced."""
    chosen = slice(None, None, -(-len(attacks.examples) // _SAMPLE))
    crafting = attacks.settings.crafting
    suspect = Suspect(
        ModelLogits(attacks.network.model),
        pgd,
        attacks.examples.subset(chosen),
        Crafting(crafting.batch_size, crafting.seed),  # float32: the checks look at gradients
    )
    return checks(
        suspect,
        survived=survived[chosen],
        sources=((name, ModelLogits(attacks.networks[name].model)) for name in others),
    )
