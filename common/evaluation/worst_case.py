"""`--method=worst_case`: a cascade against one network, its records, and its worst examples."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

from common.attacks import PGD
from common.errors import UserError
from common.evaluation.attack_table import AttackTable
from common.evaluation.cascade import Stage, Verdict, records, table
from common.evaluation.rows import Row
from common.evaluation.sanity_checks import Check, cascade_checks
from common.files import write_json
from common.submission.writer import ImagesOnDisk

_SAMPLE = 200  # images that the checks of honesty look at


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a cascade found.

    Attributes:
        row: for a table.
        verdict: image by image.
        checks: of its honesty.
    """

    row: Row
    verdict: Verdict
    checks: tuple[Check, ...]


def evaluate(
    attacks: AttackTable,
    stages: Sequence[Stage],
    folder: pathlib.Path,
    *,
    preset: str,
    others: Sequence[str],
    output: str | None,
    shape: tuple[int, ...],
    json: str | None,
) -> Judgement:
    """Runs a cascade and the checks of its honesty, tells of both, and writes what was asked for.

    Args:
        attacks: knows the network, the images and the settings.
        stages: the cascade.
        folder: of what an interrupted cascade leaves; the same cascade goes on from there.
        preset: the cascade's name.
        others: references of networks whose examples are tried as well.
        output: .npy file for the worst example of each image; None for none.
        shape: of its array, which holds the images one after the other; -1 is worked out.
        json: file for the row and the records of all images; None for none.

    Raises:
        UserError: a file cannot be written.
    """
    _require_a_ball(stages[0].attack)
    partial = attacks.partial(folder, stages, bool(output))
    worst = ImagesOnDisk(partial, attacks.examples.x) if output else None
    row, verdict = attacks.worst_case(stages, partial, worst.keep if worst else None, preset)
    print(f'{table(verdict)}\n{verdict.accuracy:.2%} stand after {verdict.spent}', flush=True)
    results = {'rows': [row.as_json()], **records(verdict), 'checks': []}
    if json:
        write_json(json, results)
    # After hours of attacks nothing is left to a check to lose: --output_dir has it all.
    found = []
    for check in itertools.chain(
        cascade_checks(verdict), attacks.checks(stages[0].attack, _SAMPLE, others, verdict.standing)
    ):
        found.append(check)
        print(check, flush=True)
    if json:
        write_json(json, {**results, 'checks': [dataclasses.asdict(check) for check in found]})
    if worst:
        attacks.require_broken(worst, verdict)
        worst.write(output, shape)
        print(f'wrote {output}')
    return Judgement(row, verdict, tuple(found))


def _require_a_ball(pgd: PGD) -> None:
    if not (pgd.ball.epsilon > 0 and pgd.steps > 0):
        raise UserError(
            f'expected --epsilon and --steps above 0 for --method=worst_case; found '
            f'{pgd.ball.epsilon:g} and {pgd.steps}.'
        )
