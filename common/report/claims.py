"""Claims of the paper as rows, each beside what was measured."""

import dataclasses
from collections.abc import Iterable, Sequence

from common.statistics import Measured

REPRODUCED, PARTLY, CONTRADICTED, NOT_TESTED = VERDICTS = (
    'reproduced',
    'partly',
    'contradicted',
    'not tested',
)
"""In every case that was measured; in some of them; in none; no case decides it."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One of the cases in which a claim was looked at.

    Attributes:
        name: such as the network.
        measured: the number, in words.
        interval: its 95% interval, or the test that decides; '' where there is neither.
        held: whether the claim holds in this case; None if this case alone does not say.
    """

    name: str
    measured: str
    interval: str = ''
    held: bool | None = None

    @classmethod
    def of(
        cls, name: str, *measured: Measured, held: bool | None = None, form: str = '.1%'
    ) -> 'Case':
        """A case of one or several numbers with intervals, in Python's format `form`."""
        numbers = ', '.join(f'{m.value:{form}}' for m in measured)
        return cls(name, numbers, ', '.join(m.ends(form) for m in measured), held)


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper and what was measured here.

    Attributes:
        claim: one sentence.
        where: section, figure or table of the paper.
        measured: a short text with the numbers that decide.
        interval: their 95% intervals, or the test that decides; None where there is neither.
        n: how many of what was measured, such as '1,000 images'.
        verdict: one of VERDICTS.

    Raises:
        ValueError: the verdict is none of these.
    """

    claim: str
    where: str
    measured: str
    interval: str | None
    n: str
    verdict: str

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(
                f'unknown verdict {self.verdict!r}; expected one of: {", ".join(VERDICTS)}'
            )

    @classmethod
    def of(
        cls,
        claim: str,
        where: str,
        cases: Sequence[Case],
        n: str,
        note: str = '',
        judgement: str | None = None,
    ) -> 'Claim':
        """A claim from its cases.

        Args:
            claim: one sentence.
            where: in the paper.
            cases: all cases measured.
            n: how many of what was measured.
            note: what the cases' numbers are.
            judgement: the verdict, where it does not follow from the cases one by one.
        """
        judgement = judgement or verdict(c.held for c in cases if c.held is not None)
        held = ', '.join(c.name for c in cases if c.held)
        parts = '; '.join(f'{c.name}: {c.measured}' for c in cases) or 'nothing'
        return cls(
            claim,
            where,
            (f'{note}: ' if note else '')
            + parts
            + (f' (holds for {held})' if held and judgement == PARTLY else ''),
            '; '.join(f'{c.name}: {c.interval}' for c in cases if c.interval) or None,
            n,
            judgement,
        )

    def __str__(self) -> str:
        interval = f' [{self.interval}]' if self.interval else ''
        return (
            f'{self.verdict}: {self.claim} ({self.where}) Measured: {self.measured}{interval}; '
            f'n = {self.n}.'
        )


def verdict(held: Iterable[bool]) -> str:
    """The verdict on a claim that was looked at in several cases.

    Args:
        held: whether it holds in each case.
    """
    cases = list(held)
    if not cases:
        return NOT_TESTED
    if all(cases):
        return REPRODUCED
    return PARTLY if any(cases) else CONTRADICTED
