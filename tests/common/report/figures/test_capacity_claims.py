"""Figure 3's verdicts on made-up measurements that support a claim, contradict it, or do both."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import cifar10.capacity
from cifar10.data_set import CIFAR10
from cifar10.recipes import FAST
from common import attacks
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome
from common.evaluation.crafting import Crafting
from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED
from common.report.figures import capacity
from common.report.figures import capacity_claims as claims
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
from common.statistics import Measured
from common.threat_model import LinfBall

N = 1000
WIDTHS = ('1', '2', '4')
ORDER = (*WIDTHS, '16')


def outcome(accuracy, predictions=None):
    """The first of N images are classified correctly."""
    correct = np.arange(N) < round(accuracy * N)
    if predictions is None:
        predictions = np.arange(N, dtype=np.int32) % 10
    return Outcome(correct, predictions, 0.0, 0.0)


def network(width='1', adversary='none', *, natural=0.99, fgsm=0.5, exact=None, pgd=0.1, loss=1.0):
    return Trained(
        width,
        adversary,
        {
            NATURAL: outcome(natural),
            FGSM: outcome(fgsm),
            EXACT: outcome(fgsm if exact is None else exact),
            PGD: outcome(pgd),
        },
        loss,
    )


def collapsed(width='1', adversary='pgd', loss=2.3):
    one = outcome(0.1, np.zeros(N, np.int32))
    return Trained(width, adversary, dict.fromkeys(JUDGED, one), loss)


def row(adversary='none', **numbers):
    """A network for each width; every keyword has their numbers in turn."""
    return [
        network(width, adversary, **{name: values[i] for name, values in numbers.items()})
        for i, width in enumerate(WIDTHS)
    ]


@pytest.mark.parametrize(
    'exact, expected, above',
    [
        ((0.1, 0.3, 0.6), REPRODUCED, ''),
        ((0.6, 0.3, 0.1), CONTRADICTED, ''),
        ((0.5, 0.5, 0.51), CONTRADICTED, ''),  # within the intervals
        ((0.3, 0.31, 0.6), PARTLY, 'width 4'),
        ((0.3, 0.6, 0.61), PARTLY, 'width 2'),
        ((0.3, 0.1, 0.6), PARTLY, 'width 4'),
    ],
)
def test_capacity_alone_is_judged_with_exact_gradients(exact, expected, above):
    claim = claims.capacity_alone(row(exact=exact, fgsm=(0.2, 0.2, 0.7)))
    assert claim.verdict == expected
    assert claim.measured.endswith(f'(holds for {above})') or not above
    for width, value in zip(WIDTHS, exact, strict=True):
        assert f'width {width}: {value:.1%}' in claim.measured
    low, high = outcome(exact[0]).interval
    assert f'width 1: {low:.1%} to {high:.1%}' in claim.interval and claim.n == '1,000 images'


def test_collapsed_networks_are_no_evidence_of_capacity():
    claim = claims.capacity_alone([collapsed('1', 'none'), *row(exact=(0, 0.2, 0.3))[1:]])
    assert claim.verdict == REPRODUCED and 'width 1' not in claim.measured
    claim = claims.capacity_alone([collapsed('1', 'none'), network('2')])
    assert claim.verdict == NOT_TESTED


@pytest.mark.parametrize(
    'exact, pgd, expected',
    [
        (0.6, 0.3, [REPRODUCED, REPRODUCED]),
        (0.5, 0.1, [CONTRADICTED, CONTRADICTED]),
        (0.2, 0.05, [CONTRADICTED, CONTRADICTED]),
        (0.5, 0.3, [CONTRADICTED, REPRODUCED]),
        (0.6, 0.1, [REPRODUCED, CONTRADICTED]),
    ],
)
def test_longer_training(exact, pgd, expected):
    said = claims.longer_training(
        network('4', fgsm=0.5), network('4', exact=exact, fgsm=0.9, pgd=pgd), 3
    )
    assert [claim.verdict for claim in said] == expected
    assert f'50.0%, {exact:.1%}' in said[0].measured
    assert f'10.0%, {pgd:.1%}' in said[1].measured and '3 times longer' in said[0].measured


def test_longer_training_of_a_collapsed_network_is_no_evidence():
    said = claims.longer_training(network('4'), collapsed('4', 'none'), 3)
    assert {claim.verdict for claim in said} == {NOT_TESTED}


@pytest.mark.parametrize(
    'pgd, small, large',
    [
        ((0.3, 0.4, 0.5), REPRODUCED, CONTRADICTED),
        ((0.1, 0.0, 0.1), CONTRADICTED, REPRODUCED),
        ((0.1, 0.4, 0.5), PARTLY, PARTLY),
    ],
)
def test_fgsm_training_helps_against_pgd_where_epsilon_is_small(pgd, small, large):
    for is_large, expected in ((False, small), (True, large)):
        trained = row('fgsm', fgsm=(0.9, 0.9, 0.9), pgd=pgd)
        one_step, iterative = claims.fgsm_training(row(), trained, 0.1, is_large)
        assert one_step.verdict == REPRODUCED and iterative.verdict == expected
        assert f'width 2: 10.0%, {pgd[1]:.1%}' in iterative.measured
        assert 'epsilon 0.1' in iterative.measured
        assert ('does not help' in iterative.claim) == is_large
        if expected == PARTLY:
            holds = 'width 1' if is_large else 'width 2, width 4'
            assert iterative.measured.endswith(f'(holds for {holds})')


def test_fgsm_training_that_collapsed_is_left_out():
    trained = [collapsed('1', 'fgsm'), *row('fgsm', fgsm=(0, 0.9, 0.9), pgd=(0, 0.4, 0.4))[1:]]
    # The accuracy of guessing one class is above that of natural training, and means nothing.
    iterative = claims.fgsm_training(row(pgd=(0, 0.1, 0.1)), trained, 0.1, False)[1]
    assert 'width 1' not in iterative.measured and iterative.verdict == REPRODUCED
    nothing = claims.fgsm_training([network()], [collapsed('1', 'fgsm')], 0.1, False)
    assert {claim.verdict for claim in nothing} == {NOT_TESTED}


def disagreeing(gained, lost):
    """A network that is right on this many images only under FGSM, and only without attack."""
    natural, attacked = np.ones(N, bool), np.ones(N, bool)
    natural[:gained] = False
    attacked[gained : gained + lost] = False
    plain = network('2', 'fgsm')
    outcomes = {
        **plain.outcomes,
        FGSM: dataclasses.replace(outcome(1), correct=attacked),
        EXACT: dataclasses.replace(outcome(1), correct=attacked),
        NATURAL: dataclasses.replace(outcome(1), correct=natural),
    }
    return dataclasses.replace(plain, outcomes=outcomes)


@pytest.mark.parametrize(
    'gained, lost, leaks',
    [
        (300, 20, True),
        (20, 300, False),
        (0, 0, False),
        (20, 20, False),
        # The two intervals overlap widely, but every image that differs has improved.
        (8, 0, True),
        (5, 0, False),
        (30, 10, True),
        (25, 15, False),
    ],
)
def test_leaks_are_found_on_the_images_that_differ(gained, lost, leaks):
    trained = disagreeing(gained, lost)
    claim = claims.label_leaking([trained], 0.1, True)
    assert f'{gained} images right only under FGSM, {lost} only when natural' in claim.measured
    assert claim.verdict == (REPRODUCED if leaks else CONTRADICTED)
    assert 'p = ' in claim.interval
    # The paper expects leaks where epsilon is large alone.
    small = claims.label_leaking([trained], 0.1, False)
    assert small.verdict == (REPRODUCED if leaks else NOT_TESTED)


def test_a_leak_of_a_wider_network_alone_is_said_to_be_one():
    trained = [
        collapsed('1', 'fgsm'),
        network('2', 'fgsm', fgsm=0.9),
        network('4', 'fgsm', natural=0.5, fgsm=0.9),
        network('8', 'fgsm', fgsm=0.9),
    ]
    for large in (False, True):
        claim = claims.label_leaking(trained, 0.1, large)
        assert claim.verdict == PARTLY and claim.measured.endswith('(holds for width 4)')
        assert 'width 1' not in claim.measured and '+40.00 points' in claim.measured


@pytest.mark.parametrize(
    'failed, expected, words',
    [
        (('1', '2'), REPRODUCED, '2 of 3 failed'),
        ((), CONTRADICTED, '0 of 3 failed'),
        (WIDTHS, PARTLY, '3 of 3 failed'),
        (('1', '4'), PARTLY, '2 of 3 failed'),
        (('4',), CONTRADICTED, '1 of 3 failed'),
    ],
)
def test_every_width_that_failed_is_named(failed, expected, words):
    pgd = [
        collapsed(w) if w in failed else network(w, 'pgd', natural=0.95, pgd=0.9) for w in WIDTHS
    ]
    claim = claims.weak_models(row(), pgd)
    assert claim.verdict == expected and claim.measured.startswith(words)
    for width in WIDTHS:
        shown = f'width {width}: 10.0% (collapsed) instead of 99.0%' in claim.measured
        assert shown == (width in failed)
    if not failed:
        assert 'width 1: 95.0% instead of 99.0%' in claim.measured


def test_a_network_may_fail_without_collapsing_or_be_beyond_all_training():
    pgd = row('pgd', natural=(0.3, 0.9, 0.9))
    claim = claims.weak_models(row(), pgd)
    assert '1 of 3 failed' in claim.measured and 'width 1: 30.0% instead' in claim.measured
    claim = claims.weak_models([collapsed('1', 'none'), *row()[1:]], pgd)
    assert '0 of 2 failed' in claim.measured
    assert claims.weak_models([collapsed('1', 'none')], pgd[:1]).verdict == NOT_TESTED


def test_the_value_of_the_saddle_point_is_judged_for_each_adversary():
    falling, rising = row('fgsm', loss=(0.3, 0.2, 0.1)), row('pgd', loss=(0.1, 0.2, 0.3))
    claim = claims.saddle_point('FGSM', falling)
    assert claim.verdict == REPRODUCED and 'FGSM training' in claim.claim
    assert 'width 1: 0.3; width 2: 0.2; width 4: 0.1' in claim.measured
    assert claims.saddle_point('PGD', rising).verdict == CONTRADICTED
    claim = claims.saddle_point('FGSM', row('fgsm', loss=(0.5, 0.01, 0.2)))
    assert claim.verdict == PARTLY and claim.measured.endswith('(holds for width 2)')
    stuck = [collapsed('1', loss=2.3006), collapsed('2', loss=2.3007), network('4', 'pgd', loss=1)]
    claim = claims.saddle_point('PGD', stuck)
    assert claim.verdict == PARTLY and claim.measured.endswith('(holds for width 4)')
    assert 'width 1: 2.3 (collapsed); width 2: 2.3 (collapsed); width 4: 1' in claim.measured


def moved(source, target, fooled, cosine):
    def around(value):
        return Measured(value, value - 0.01, value + 0.01)

    return Transferred(source, target, around(fooled), N, around(cosine))


def from_one(adversary, numbers, source=None):
    """Examples of one source on targets of all widths: (share fooled, cosine) of each."""
    source = source or network('16')
    return [
        moved(source, network(width, adversary), *pair)
        for width, pair in zip(WIDTHS, numbers, strict=True)
    ]


FALLING, RISING = ((0.9, 0.8), (0.5, 0.5), (0.1, 0.2)), ((0.1, 0.2), (0.5, 0.5), (0.9, 0.8))


def by_capacity(transferred):
    return claims.transfer(transferred, 'width', ORDER)


def by_adversary(transferred):
    return claims.transfer(transferred, 'adversary', list(ADVERSARIES))


def verdicts(said):
    return [claim.verdict for claim in said]


def test_capacity_weakens_transfer():
    said = by_capacity(from_one('none', FALLING))
    assert verdicts(said) == [REPRODUCED, REPRODUCED] and said[0].n == '3 pairs'
    assert 'fooled lower in 3 pairs and higher in 0' in said[0].measured
    said = by_capacity(from_one('none', RISING))
    assert verdicts(said) == [CONTRADICTED, CONTRADICTED]
    said = by_capacity([*from_one('none', RISING), *from_one('pgd', FALLING)])
    assert verdicts(said) == [PARTLY, PARTLY] and said[0].n == '6 pairs'
    assert 'fooled lower in 3 pairs and higher in 3' in said[0].measured
    for claim in said:
        assert 'targets of PGD training: 3 and 0' in claim.measured


def test_transfer_within_the_intervals_is_no_evidence():
    said = by_capacity(from_one('none', [(0.5, 0.3)] * 3))
    assert 'fooled lower in 0 pairs and higher in 0' in said[0].measured
    assert verdicts(said) == [CONTRADICTED, CONTRADICTED]


def test_wider_sources_are_compared_on_the_same_target():
    target = network('2', 'fgsm')
    found = [moved(network('1'), target, 0.9, 0.1), moved(network('4'), target, 0.1, 0.5)]
    said = by_capacity(found)
    assert said[0].n == '1 pair' and 'sources: 1 and 0' in said[0].measured
    assert verdicts(said) == [REPRODUCED, CONTRADICTED]


def test_stronger_adversaries_weaken_transfer():
    def targets(numbers):
        return [
            moved(network('16'), network('4', adversary), *pair)
            for adversary, pair in zip(ADVERSARIES, numbers, strict=True)
        ]

    assert verdicts(by_adversary(targets(FALLING))) == [REPRODUCED, REPRODUCED]
    assert verdicts(by_adversary(targets(RISING))) == [CONTRADICTED, CONTRADICTED]
    said = by_adversary(targets([(0.5, 0.1), (0.9, 0.1), (0.1, 0.1)]))[0]
    assert said.verdict == PARTLY and 'fooled lower in 2 pairs and higher in 1' in said.measured
    assert 'targets of FGSM instead of natural training: 0 and 1' in said.measured
    for kind in ('PGD instead of natural', 'PGD instead of FGSM'):
        assert f'targets of {kind} training: 1 and 0' in said.measured


def test_collapsed_networks_are_left_out_of_transfer():
    source, target = network('16'), network('2', 'pgd')
    nothing = moved(source, collapsed('1'), 0.0, 0.0)
    assert by_capacity([nothing, moved(source, target, 0.5, 0.5)]) == []
    assert by_adversary([moved(source, network('1'), 0.5, 0.5), nothing]) == []
    backwards = [moved(collapsed('16', 'none'), network(w), 0.5, 0.5) for w in WIDTHS]
    assert by_capacity(backwards) == []


def test_which_networks_collapsed():
    assert collapsed().collapsed and not network().collapsed
    # Images of one class, all recognized, are no collapse.
    right = outcome(1, np.zeros(N, np.int32))
    assert not dataclasses.replace(network(), outcomes=dict.fromkeys(JUDGED, right)).collapsed
    assert collapsed().mark == ' (collapsed)' and network().mark == ''


def test_every_claim_is_there_once():
    trained = [t for adversary in ADVERSARIES for t in row(adversary)]
    found = Findings(WIDTHS, 0.1, trained, from_one('pgd', FALLING, trained[0]), trained[2], 4)
    said = claims.all_claims(found)
    assert len(said) == len({claim.claim for claim in said}) == 11
    assert [t.width for t in found.of('pgd')] == list(WIDTHS)
    one = Findings(('1',), 8, [network('1', adversary) for adversary in ADVERSARIES])
    assert len(claims.all_claims(one)) == 3


def test_a_large_epsilon_reaches_the_claims():
    trained = [network('1', adversary) for adversary in ADVERSARIES]
    said = claims.all_claims(Findings(('1',), 8, trained, large_epsilon=True))
    assert [claim.verdict for claim in said][1:] == [REPRODUCED, CONTRADICTED]


# The figure itself.

IMAGES = Examples(
    np.random.default_rng(0).uniform(size=(12, 1, 1, 3)).astype(np.float32),
    np.arange(12, dtype=np.int32) % 3,
    'made-up',
)


def build(reference=None):
    return keras.Sequential(
        [
            keras.Input((1, 1, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer='zeros'),
        ]
    )


@pytest.mark.parametrize('name', ['cifar10', 'drawn'])
def test_the_papers_numbers_stand_beside_its_data_alone(tmp_path, name):
    images = dataclasses.replace(CIFAR10, load=lambda *_, **__: IMAGES)
    study = Study(
        'cifar10',
        'CIFAR-10',
        IMAGES,
        build,
        attacks.PGD(LinfBall(8), 2, 4),
        'grey levels',
        'python -m cifar10.figures',
        tmp_path,
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )
    _, sweep = cifar10.capacity.sweep(
        images, study, train=None, epsilon=None, name=name, data_dir=None
    )
    assert bool(sweep.papers) == (name == 'cifar10')


def constant(reference):
    """One network that tells images apart and, after PGD training of width 1, one that cannot."""
    model = build()
    model.set_weights([np.eye(3) * ('pgd-1' not in reference), np.array([0.1, 0, 0])])
    return model


def test_figure_3_marks_what_collapsed(tmp_path):
    test = Examples(IMAGES.x, IMAGES.x.argmax(axis=-1).ravel().astype(np.int32), 'made-up')
    study = Study(
        'tiny',
        'Tiny',
        test,
        constant,
        attacks.PGD(LinfBall(0.1), 2, 0.05),
        'pixels',
        'python -m tiny.figures',
        tmp_path,
        crafting=Crafting(6),
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )
    sweep = capacity.Sweep(
        {'1': {'width': '1'}, '2': {'width': '2'}},
        FAST,
        lambda config, folder, data_dir: folder.mkdir(parents=True),
        None,
        test,
        lambda _: None,
    )
    exhibit = capacity.figure_3(study, lambda study: (study, sweep))
    assert 'collapsed networks' in exhibit.remarks[0]
    accuracy, transferred = exhibit.tables
    named = [r[0] for r in accuracy.rows if r[0].startswith('PGD')]
    assert named == ['PGD training, width 1 (collapsed)', 'PGD training, width 2']
    assert EXACT in accuracy.columns and 'final training loss' in accuracy.columns
    cosines = {r[0].split(', on ')[1]: r[-1] for r in transferred.rows}
    assert cosines['PGD training, width 1 (collapsed)'] == '-' != cosines['PGD training, width 2']
    assert all(
        (t['cosine'] is None) == (t['target'] == 'PGD training, width 1')
        for t in exhibit.data['transferred']
    )
    json.dumps(exhibit.data)
