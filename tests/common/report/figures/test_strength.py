"""Claims about the adversary's strength, on made-up outcomes."""

import numpy as np
import pytest

from common.attacks import PGD
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome
from common.report.claims import CONTRADICTED, NOT_TESTED, REPRODUCED
from common.report.figures import strength
from common.report.figures.study import Study
from common.statistics import paired_difference
from common.threat_model import LinfBall

LABELS = np.repeat([0, 1, 2], [5, 3, 2]).astype(np.int32)
TEST = Examples(np.zeros((10, 2, 2, 1), np.float32), LABELS, 'made-up test')


@pytest.fixture
def study(tmp_path):
    return Study(
        'tiny',
        'Tiny',
        TEST,
        None,
        PGD(LinfBall(0.1), 4, 0.04),
        'pixels',
        'python',
        tmp_path,
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )


def outcome(correct):
    correct = np.asarray(correct, bool)
    return Outcome(correct, np.zeros(len(correct), np.int32), 0.0, 0.0)


def standing(*counts, n=10):
    return [outcome(np.arange(n) < count) for count in counts]


def converged(base, **variants):
    return strength._converged(
        base,
        {
            name.replace('_', ' '): {
                value: paired_difference(~base.correct, ~found.correct)
                for value, found in values.items()
            }
            for name, values in variants.items()
        },
    )


def test_an_attack_that_variants_surpass_on_the_same_images_has_not_converged():
    # The accuracy's own interval, 93.2% to 96.0%, holds all of these.
    base, few, many = standing(948, 947, 938, n=1000)
    said = converged(base, steps={100: few, 200: many}, step_size={0.02: few})
    assert said.verdict == CONTRADICTED and said.n == '1,000 images'
    assert 'steps=200: +1.00%' in said.measured
    assert 'steps=100' not in said.measured and 'step size=0.02: +0.10%' in said.measured
    assert 'leaves 94.80%' in said.measured and 'steps=200: +0.' in said.interval


def test_every_variant_that_breaks_markedly_more_is_named():
    base, some, many = standing(948, 938, 928, n=1000)
    said = converged(base, steps={100: some, 200: many})
    assert 'steps=100' in said.measured and 'steps=200' in said.measured


def test_variants_that_break_other_images_but_no_more_are_no_sign_against_convergence():
    base = outcome(np.arange(10_000) < 9500)
    shifted = outcome((np.arange(10_000) >= 20) & (np.arange(10_000) < 9520))
    said = converged(base, steps={80: base}, restarts={5: shifted})
    assert 'steps=80: +0.00%' in said.measured and said.verdict == REPRODUCED


def test_weaker_variants_break_fewer():
    base, weak = standing(9500, 9700, n=10_000)
    said = converged(base, steps={1: weak})
    assert 'steps=1: -2.00%' in said.measured
    assert said.verdict == REPRODUCED


@pytest.mark.parametrize('n', [1, 50])
def test_few_images_decide_nothing(n):
    base, same = standing(n, n, n=n)
    said = converged(base, steps={80: same})
    assert said.verdict == NOT_TESTED and 'steps=80: +0.00%' in said.measured
    assert said.n == ('1 image' if n == 1 else f'{n} images')


def test_a_difference_within_its_interval_decides_nothing():
    base = outcome(np.arange(1000) < 900)
    noisy = outcome((np.arange(1000) >= 46) & (np.arange(1000) < 940))  # 46 more, 40 fewer
    said = converged(base, steps={80: noisy})
    assert '+0.60%' in said.measured and said.verdict == NOT_TESTED


def test_without_variants_there_is_no_verdict():
    assert converged(standing(9)[0], steps={}, restarts={}).verdict == NOT_TESTED


def test_the_base_attack_is_no_variant_of_itself(study, monkeypatch):
    asked = []

    def accuracy(_, attack, source, target):
        asked.append(attack)
        return standing(9)[0]

    monkeypatch.setattr(Study, 'accuracy', accuracy)
    monkeypatch.setattr(Study, 'exhibit', lambda _, *args, **parts: parts)
    monkeypatch.setattr(Study, 'draw', lambda *_, **__: [])
    found = strength.convergence(study, steps=(4,), restarts=(1,), step_sizes=(0.04, 1))
    (claim,) = found['claims']
    assert 'steps=' not in claim.measured and 'restarts=' not in claim.measured
    assert 'step size=1: ' in claim.measured
    assert [row[2] for row in found['tables'][0].rows] == ['-']
    assert [row[0] for row in found['tables'][2].rows] == ['0.04', '1']
    assert found['tables'][2].rows[1][2].startswith('+0.00% (')
    assert 'step_size=1.0' in repr(asked[-1])


def test_radii_are_floats_so_that_the_cache_knows_an_attack_by_one_name():
    for pgd in (PGD(LinfBall(8), 20, 2), PGD(LinfBall(8.0, 0.0, 255.0), 20, 2.0)):
        assert repr(strength.at_radius(pgd, 4)) == repr(strength.at_radius(pgd, 4.0))
        assert 'epsilon=4.0' in repr(strength.at_radius(pgd, 4))
    assert strength.at_radius(PGD(LinfBall(8.0), 20, 2.0), 8) == PGD(LinfBall(8.0), 20, 2.0)


def test_the_bound_of_grey_images(study):
    (said,) = strength._end(study, (0, 0.2, 0.5))
    assert said.startswith('From epsilon 0.5 on one grey image')
    assert '50.0% of these 10 images' in said


def test_below_half_the_pixel_range_nothing_is_said_of_grey_images(study):
    assert strength._end(study, (0, 0.2, 0.4)) == []
