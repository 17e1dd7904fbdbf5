"""What figure 3 says of made-up measurements that support a claim, contradict it, or do both."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import cifar10.capacity
from common.attacks import PGD
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome
from common.evaluation.crafting import Crafting
from common.report.figures import capacity
from common.report.figures import capacity_claims as claims
from common.report.figures.capacity_claims import EXACT, FGSM, NATURAL, Findings, Measured, Trained
from common.report.figures.study import Study
from common.threat_model import LinfBall
from common.training.config import TrainingConfig
from common.training.setting import setting

N = 1000
WIDTHS = ('1', '2', '4')
ORDER = (*WIDTHS, '16')


def outcome(accuracy, predictions=None):
    """Of N images, the first ones are classified correctly."""
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
            claims.PGD: outcome(pgd),
        },
        loss,
    )


def collapsed(width='1', adversary='pgd', loss=2.3):
    one = outcome(0.1, np.zeros(N, np.int32))
    return Trained(width, adversary, dict.fromkeys(claims.JUDGED, one), loss)


def row(adversary='none', **numbers):
    """A network for each width; every keyword has their numbers in turn."""
    return [
        network(width, adversary, **{name: values[i] for name, values in numbers.items()})
        for i, width in enumerate(WIDTHS)
    ]


def verdict(said):
    assert said.endswith('.')
    return said[said.index('Verdict') :]


@pytest.mark.parametrize(
    'exact, expected',
    [
        ((0.1, 0.3, 0.6), 'Verdict: holds.'),
        ((0.6, 0.3, 0.1), 'Verdict: does not hold.'),
        ((0.5, 0.5, 0.51), 'Verdict: does not hold.'),  # within the intervals
        ((0.3, 0.31, 0.6), 'Verdict: holds in part, from width 2 on.'),
        ((0.3, 0.6, 0.61), 'Verdict: holds in part, from width 1 to 2.'),
        ((0.3, 0.1, 0.6), 'Verdict: holds in part, from width 2 on.'),
    ],
)
def test_capacity_alone_is_judged_with_exact_gradients(exact, expected):
    said = claims.capacity_alone(row(exact=exact, fgsm=(0.2, 0.2, 0.7)))
    assert verdict(said) == expected
    assert ', '.join(f'{value:.1%}' for value in exact) in said


def test_two_rises_are_both_named():
    values = [Measured(v, v - 0.01, v + 0.01) for v in (0.1, 0.3, 0.2, 0.4, 0.6)]
    assert claims._rising('abcde', values) == 'holds in part, from width a to b and from width c on'


def test_plain_fgsm_is_quoted_where_it_differs():
    said = claims.capacity_alone(row(exact=(0.1, 0.2, 0.3), fgsm=(0.105, 0.2, 0.8)))
    assert 'By plain FGSM it would be 80.0% at width 4.' in said
    (why,) = claims.two_kinds_of_fgsm(row(exact=(0.1, 0.2, 0.3), fgsm=(0.105, 0.2, 0.8)))
    assert '1 of 3 networks' in why and '+50.0 points' in why and 'float32' in why
    same = row(exact=(0.1, 0.2, 0.3), fgsm=(0.105, 0.2, 0.3))
    assert 'plain' not in claims.capacity_alone(same) and claims.two_kinds_of_fgsm(same) == []


def test_collapsed_networks_are_no_evidence_of_capacity():
    said = claims.capacity_alone([collapsed('1', 'none'), *row(exact=(0, 0.2, 0.3))[1:]])
    assert 'at widths 2 and 4' in said and verdict(said) == 'Verdict: holds.'
    said = claims.capacity_alone([collapsed('1', 'none'), network('2')])
    assert 'cannot be judged' in verdict(said)


@pytest.mark.parametrize(
    'exact, pgd, expected',
    [
        (0.6, 0.3, 'Verdict: holds.'),
        (0.5, 0.1, 'Verdict: does not hold.'),
        (0.2, 0.05, 'Verdict: does not hold.'),
        (0.5, 0.3, 'Verdict: holds in part, under PGD.'),
        (0.6, 0.1, 'Verdict: holds in part, under FGSM.'),
    ],
)
def test_longer_training(exact, pgd, expected):
    said = claims.longer_training(
        network('4', fgsm=0.5), network('4', exact=exact, fgsm=0.9, pgd=pgd), 3
    )
    assert verdict(said) == expected
    assert f'50.0% becomes {exact:.1%}' in said and '3 times longer' in said
    assert '90.0% after' in said and '50.0% before' not in said


def test_longer_training_of_a_collapsed_network_tells_nothing():
    said = claims.longer_training(network('4'), collapsed('4', 'none'), 3)
    assert 'cannot be judged' in verdict(said)


@pytest.mark.parametrize(
    'pgd, expected',
    [
        ((0.3, 0.4, 0.5), 'against PGD it holds.'),
        ((0.1, 0.0, 0.1), 'against PGD it does not hold.'),
        ((0.1, 0.4, 0.5), 'against PGD it holds in part, at widths 2 and 4.'),
    ],
)
def test_fgsm_training_helps(pgd, expected):
    said = claims.fgsm_training(row(), row('fgsm', fgsm=(0.9, 0.9, 0.9), pgd=pgd), 0.1)
    assert verdict(said) == (
        f'Verdict at epsilon 0.1: against one-step attacks it holds; {expected}'
    )
    assert f'10.0% to {pgd[1]:.1%}' in said


def test_fgsm_training_that_collapsed_is_left_out():
    trained = [collapsed('1', 'fgsm'), *row('fgsm', fgsm=(0, 0.9, 0.9), pgd=(0, 0.4, 0.4))[1:]]
    # The accuracy of guessing one class is above that of natural training, and means nothing.
    said = claims.fgsm_training(row(pgd=(0, 0.1, 0.1)), trained, 0.1)
    assert 'width 1' not in said and verdict(said).endswith('against PGD it holds.')
    nothing = claims.fgsm_training([network()], [collapsed('1', 'fgsm')], 0.1)
    assert 'cannot be judged' in verdict(nothing)


def disagreeing(gained, lost):
    """A network that is right on so many images only under FGSM, and only when natural."""
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
        # Intervals of the two accuracies overlap widely, but of the images that differ all rose.
        (8, 0, True),
        (5, 0, False),
        (30, 10, True),
        (25, 15, False),
    ],
)
def test_leaks_are_found_on_the_images_that_differ(gained, lost, leaks):
    trained = disagreeing(gained, lost)
    assert claims.leaks(trained) == leaks
    said = claims.label_leaking([trained], 0.1)
    assert f'{gained} images right only under FGSM, {lost} only when natural' in said
    assert verdict(said) == f'Verdict at epsilon 0.1: {"holds" if leaks else "does not hold"}.'


def test_signs_are_tested_exactly():
    assert claims._sign_test(5, 0) == pytest.approx(2 / 2**5)
    assert claims._sign_test(3, 1) == claims._sign_test(1, 3) == pytest.approx(2 * 5 / 2**4)
    assert claims._sign_test(2, 2) == claims._sign_test(0, 0) == 1
    assert claims._sign_test(5000, 4000) < 1e-20


def test_a_leak_of_a_wider_network_alone_is_said_to_be_one():
    trained = [
        collapsed('1', 'fgsm'),
        network('2', 'fgsm', fgsm=0.9),
        network('4', 'fgsm', natural=0.5, fgsm=0.9),
        network('8', 'fgsm', fgsm=0.9),
    ]
    said = claims.label_leaking(trained, 0.1)
    assert verdict(said) == (
        'Verdict at epsilon 0.1: holds in part, at width 4, though not at the narrower width 2.'
    )
    assert 'width 1' not in said and '+40.00 points' in said
    said = claims.label_leaking(trained[2:], 0.1)
    assert verdict(said) == 'Verdict at epsilon 0.1: holds in part, at width 4.'


@pytest.mark.parametrize(
    'failed, expected',
    [
        (('1', '2'), 'Verdict: holds.'),
        ((), 'Verdict: does not hold.'),
        (WIDTHS, 'Verdict: holds in part, for not only the narrow ones failed.'),
        (
            ('1', '4'),
            'Verdict: holds in part, at width 1; width 4 failed though narrower ones did not.',
        ),
        (('4',), 'Verdict: does not hold, for width 4 failed though narrower ones did not.'),
    ],
)
def test_every_width_that_failed_is_named(failed, expected):
    pgd = [
        collapsed(w) if w in failed else network(w, 'pgd', natural=0.95, pgd=0.9) for w in WIDTHS
    ]
    said = claims.weak_models(row(), pgd)
    assert verdict(said) == expected
    for width in WIDTHS if failed else ():
        assert (f'width {width} (collapsed) reaches 10.0%' in said) == (width in failed)
    if not failed:
        assert 'no width failed: width 1 reaches 95.0% natural and 90.0% under PGD' in said


def test_a_network_may_fail_without_collapsing_or_be_beyond_all_training():
    pgd = row('pgd', natural=(0.3, 0.9, 0.9))
    assert 'width 1 failed' in claims.weak_models(row(), pgd)
    said = claims.weak_models([collapsed('1', 'none'), *row()[1:]], pgd)
    assert 'no width failed' in said
    assert 'cannot be judged' in claims.weak_models([collapsed('1', 'none')], pgd[:1])


def test_the_value_of_the_saddle_point_is_judged_for_each_adversary():
    falling, rising = row('fgsm', loss=(0.3, 0.2, 0.1)), row('pgd', loss=(0.1, 0.2, 0.3))
    said = claims.saddle_point(falling, rising)
    assert (
        verdict(said) == 'Verdict: with FGSM training it holds; with PGD training it does not hold.'
    )
    assert 'of FGSM training 0.3, 0.2, 0.1, of PGD training 0.1, 0.2, 0.3.' in said
    uneven = row('fgsm', loss=(0.5, 0.01, 0.2))
    stuck = [collapsed('1', loss=2.3006), collapsed('2', loss=2.3007), network('4', 'pgd', loss=1)]
    said = claims.saddle_point(uneven, stuck)
    assert verdict(said) == (
        'Verdict: with FGSM training it holds in part, from width 1 to 2; '
        'with PGD training it holds in part, from width 2 on.'
    )
    assert '2.3 (collapsed), 2.3 (collapsed), 1.' in said


def moved(source, target, fooled, cosine):
    def around(value):
        return Measured(value, value - 0.01, value + 0.01)

    return claims.Transferred(source, target, around(fooled), N, around(cosine))


def from_one(adversary, numbers, source=None):
    """Examples of one source on targets of all widths: (share fooled, cosine) of each."""
    source = source or network('16')
    return [
        moved(source, network(width, adversary), *pair)
        for width, pair in zip(WIDTHS, numbers, strict=True)
    ]


FALLING, RISING = ((0.9, 0.8), (0.5, 0.5), (0.1, 0.2)), ((0.1, 0.2), (0.5, 0.5), (0.9, 0.8))


def test_capacity_weakens_transfer():
    (said,) = claims.transfer_by_capacity(from_one('none', FALLING), ORDER)
    assert 'on 3 pairs' in said and 'fewer images are fooled in 3, more in 0' in said
    assert verdict(said) == 'Verdict: on transfer it holds; on gradients it holds.'
    (said,) = claims.transfer_by_capacity(from_one('none', RISING), ORDER)
    assert verdict(said) == 'Verdict: on transfer it does not hold; on gradients it does not hold.'
    both = [*from_one('none', RISING), *from_one('pgd', FALLING)]
    (said,) = claims.transfer_by_capacity(both, ORDER)
    assert 'on 6 pairs' in said and 'fewer images are fooled in 3, more in 3' in said
    where = 'holds in part, for targets of PGD training (3 for, 0 against)'
    assert verdict(said) == f'Verdict: on transfer it {where}; on gradients it {where}.'


def test_transfer_within_the_intervals_is_no_evidence():
    (said,) = claims.transfer_by_capacity(from_one('none', [(0.5, 0.3)] * 3), ORDER)
    assert 'fewer images are fooled in 0, more in 0' in said
    assert verdict(said) == 'Verdict: on transfer it does not hold; on gradients it does not hold.'


def test_wider_sources_are_compared_on_the_same_target():
    target = network('2', 'fgsm')
    found = [moved(network('1'), target, 0.9, 0.1), moved(network('4'), target, 0.1, 0.5)]
    (said,) = claims.transfer_by_capacity(found, ORDER)
    assert 'on 1 pairs' not in said and 'on 1 pair ' in said
    assert verdict(said) == 'Verdict: on transfer it holds; on gradients it does not hold.'


def test_stronger_adversaries_weaken_transfer():
    def targets(numbers):
        return [
            moved(network('16'), network('4', adversary), *pair)
            for adversary, pair in zip(claims.ADVERSARIES, numbers, strict=True)
        ]

    (said,) = claims.transfer_by_adversary(targets(FALLING))
    assert verdict(said) == 'Verdict: on transfer it holds; on gradients it holds.'
    (said,) = claims.transfer_by_adversary(targets(RISING))
    assert verdict(said) == 'Verdict: on transfer it does not hold; on gradients it does not hold.'
    (said,) = claims.transfer_by_adversary(targets([(0.5, 0.1), (0.9, 0.1), (0.1, 0.1)]))
    assert 'fewer images are fooled in 2, more in 1' in said
    assert 'FGSM instead of natural' not in verdict(said)
    for kind in ('PGD instead of natural', 'PGD instead of FGSM'):
        assert f'for targets of {kind} training (1 for, 0 against)' in verdict(said)


def test_collapsed_networks_are_left_out_of_transfer():
    source, target = network('16'), network('2', 'pgd')
    nothing = moved(source, collapsed('1'), 0.0, 0.0)
    assert claims.transfer_by_capacity([nothing, moved(source, target, 0.5, 0.5)], ORDER) == []
    assert claims.transfer_by_adversary([moved(source, network('1'), 0.5, 0.5), nothing]) == []
    backwards = [moved(collapsed('16', 'none'), network(w), 0.5, 0.5) for w in WIDTHS]
    assert claims.transfer_by_capacity(backwards, ORDER) == []


def test_which_networks_collapsed():
    assert collapsed().collapsed and not network().collapsed
    # Images of one class, all recognized, are no collapse.
    right = outcome(1, np.zeros(N, np.int32))
    assert not dataclasses.replace(
        network(), outcomes=dict.fromkeys(claims.JUDGED, right)
    ).collapsed
    (said,) = claims.collapsed_networks([network('1'), collapsed('2'), collapsed('4', 'fgsm')])
    assert 'PGD training, width 2; FGSM training, width 4.' in said
    assert claims.collapsed_networks([network()]) == []


def test_every_claim_has_its_verdict():
    trained = [t for adversary in claims.ADVERSARIES for t in row(adversary)]
    found = Findings(WIDTHS, 0.1, trained, from_one('pgd', FALLING, trained[0]), trained[2], 4)
    said = claims.all_claims(found)
    assert len(said) == 7 and all('(paper)' in s and 'Verdict' in s for s in said)
    ends = Findings(WIDTHS, 0.1, trained[::-1])
    assert [t.width for t in ends.of('pgd')] == list(WIDTHS)
    one = Findings(('1',), 8, [network('1', adversary) for adversary in claims.ADVERSARIES])
    assert len(claims.all_claims(one)) == 2


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
def test_the_papers_numbers_stand_beside_its_data_alone(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cifar10.capacity.dataset, 'load_training', lambda **_: (IMAGES, IMAGES))
    study = Study(
        'cifar10',
        'CIFAR-10',
        IMAGES,
        build,
        PGD(LinfBall(8), 2, 4),
        'grey levels',
        'python -m cifar10.figures',
        tmp_path,
    )
    _, sweep = cifar10.capacity.sweep(study, None, name, None)
    assert bool(sweep.papers) == (name == 'cifar10')


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    width: str = setting('Width.', '1')


CONFIG = Config(
    dataset='x',
    seed=0,
    epsilon=0.1,
    steps=2,
    step_size=0.05,
    train_steps=7,
    learning_rate=0.1,
    optimizer='momentum',
    batch_size=2,
)


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
        PGD(LinfBall(0.1), 2, 0.05),
        'pixels',
        'python -m tiny.figures',
        tmp_path,
        crafting=Crafting(6),
    )
    sweep = capacity.Sweep(
        {'1': {'width': '1'}, '2': {'width': '2'}},
        CONFIG,
        lambda config, folder, data_dir: folder.mkdir(parents=True),
        None,
        test,
        lambda _: None,
    )
    exhibit = capacity.figure_3(study, sweep)
    said = ' '.join(exhibit.remarks)
    assert 'one class for all images: PGD training, width 1.' in said
    accuracy, losses, transferred = exhibit.tables
    assert [r[0] for r in accuracy.rows if r[0].startswith('PGD')] == ['PGD (collapsed)', 'PGD']
    assert EXACT in accuracy.columns and '(collapsed)' in losses.rows[0][3]
    cosines = {r[1]: r[-1] for r in transferred.rows}
    assert cosines['PGD training, width 1 (collapsed)'] == '-' != cosines['PGD training, width 2']
    assert all(
        (t['cosine'] is None) == (t['target'] == 'PGD training, width 1')
        for t in exhibit.data['transferred']
    )
    json.dumps(exhibit.data)
