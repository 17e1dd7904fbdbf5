"""Every figure on networks so small that their numbers can be checked."""

import dataclasses
import pathlib
import sys

import keras
import numpy as np
import pytest

from common.attacks import PGD
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.crafting import Crafting
from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED
from common.report.exhibit import read
from common.report.figures import (
    capacity,
    catalogue,
    directions,
    geometry,
    progress,
    restarts,
    strength,
    transfer,
)
from common.report.figures.study import Study
from common.threat_model import LinfBall
from common.training.config import TrainingConfig
from common.training.setting import setting

SHAPE, CLASSES = (4, 4, 1), ('zero', 'one', 'two')
RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.8, (30, *SHAPE)).astype(np.float32)
RADII = (0.0, 0.05, 0.1, 0.5)


def network(reference):
    folder = pathlib.Path(reference)
    if (folder / 'name').is_file():
        reference = (folder / 'name').read_text()
    seed = {'A': 1, 'A_nat': 2, 'A_prime': 3}.get(reference)
    if seed is None:
        raise UserError(f'there is no network {reference!r}')
    init = [keras.initializers.RandomNormal(stddev=0.7, seed=10 * seed + i) for i in range(2)]
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(2.0, offset=-1.0),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation='tanh', kernel_initializer=init[0]),
            keras.layers.Dense(3, kernel_initializer=init[1]),
        ]
    )


TEST = Examples(X, np.argmax(network('A')(X), axis=1).astype(np.int32), 'made-up test')


@pytest.fixture
def study(tmp_path):
    return Study(
        'tiny',
        'Tiny',
        TEST,
        network,
        PGD(LinfBall(0.1), 4, 0.04),
        'pixels',
        'python -m tiny.figures',
        tmp_path,
        crafting=Crafting(8),
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )


@pytest.fixture
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp('released')
    header = 'step,loss_adv,epsilon_factor\n'
    (folder / 'one.csv').write_text(header + '0,2.0,0.5\n5,,\n10,1.0,1\n')
    (folder / 'two.csv').write_text(header + '0,0.9,1\n10,0.5,1\n')
    entry = {
        'logs': ['one.csv', 'two.csv'],
        'command': 'python -m tiny.train',
        'seed': 5,
        'notes': 'The first one against PGD-2.',
        'config': {'attack_dtype': 'bfloat16'},
    }
    return {'A': entry}, folder


@pytest.fixture(scope='module')
def shared_study(tmp_path_factory):
    """For tests of all figures, which reuse what other tests have put in the cache."""
    return Study(
        'tiny',
        'Tiny',
        TEST,
        network,
        PGD(LinfBall(0.1), 4, 0.04),
        'pixels',
        'python -m tiny.figures',
        tmp_path_factory.mktemp('report'),
        crafting=Crafting(8),
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )


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


FAST_FIGURES = [name for name in catalogue.FIGURES if name != '4']


def sweep(study):
    """Stands in for training: a network's name is written where its weights would be."""

    def train(config, folder, data_dir):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'name').write_text(NAMES[config.width, config.adversary])

    def adversary(config):
        return None if config.adversary == 'none' else study.pgd

    widths = {'1': {'width': 'narrow'}, '2': {'width': 'broad'}}
    return study, capacity.Sweep(
        widths, CONFIG, train, None, TEST.subset(slice(9)), adversary, {('2', 'pgd'): 'A'}, longer=3
    )


NAMES = {
    ('narrow', 'none'): 'A_nat',
    ('broad', 'none'): 'A_prime',
    ('narrow', 'fgsm'): 'A_prime',
    ('broad', 'fgsm'): 'A_nat',
    ('narrow', 'pgd'): 'A_nat',
}


RELEASED = {
    name: {'config': {'adversary': adversary, 'network': 'A'}}
    for name, adversary in {'A': 'pgd', 'A_nat': 'none', 'A_prime': 'pgd'}.items()
}


def details(**changes):
    return catalogue.Details(
        **{
            'classes': CLASSES,
            'released': RELEASED,
            'ranges': catalogue.FigureRanges(RADII, (1, 2, 3), (1, 2), (0.01, 0.1)),
            'capacity': sweep,
            'restarts_of_an_image': 5,
            **changes,
        }
    )


def make(name, study):
    return catalogue.exhibit(name, study, details())


@pytest.mark.parametrize('name', ['1', 'transfer', 'confusion'])
def test_figures_without_matplotlib_have_their_numbers(shared_study, name, monkeypatch, capsys):
    study = dataclasses.replace(shared_study)
    monkeypatch.setitem(sys.modules, 'common.report.plots', None)
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    monkeypatch.delattr('common.report.plots', raising=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, 'common.report.plots')
        exhibit = make(name, study)
    assert exhibit.pictures == () and exhibit.tables and exhibit.tables[0].rows
    assert 'matplotlib is not installed' in capsys.readouterr().err
    assert read(exhibit.write(study.output_dir)).data is not None


@pytest.mark.parametrize('name', FAST_FIGURES)
def test_figures_are_drawn(shared_study, name):
    pytest.importorskip('matplotlib')
    study = dataclasses.replace(shared_study)
    exhibit = make(name, study)
    assert exhibit.pictures
    for picture in exhibit.pictures:
        contents = (study.output_dir / picture.file).read_bytes()
        assert contents.startswith(b'\x89PNG') and len(contents) < 300_000


def test_figure_1_shows_the_losses_of_all_restarts(study):
    exhibit = restarts.figure_1(study, 6)
    assert exhibit.key == 'tiny_figure_1' and exhibit.command == 'python -m tiny.figures --figure=1'
    assert set(exhibit.networks) == {'A', 'A_nat'}
    losses = exhibit.data['losses']['A'][0]
    row = exhibit.tables[0].rows[4]
    assert len(losses) == 6 and row[0].startswith('A, image ')
    assert float(row[-1]) == pytest.approx(max(losses), rel=1e-3)
    assert float(row[1]) == pytest.approx(min(losses), rel=1e-3)


def test_images_are_numbered_as_in_the_whole_test_set(study):
    every = dataclasses.replace(study, every=10)
    for name in ('2', 'examples'):
        numbers, whole = (
            np.ravel(make(name, s).data['image' if name == '2' else 'images'])
            for s in (study, every)
        )
        np.testing.assert_array_equal(whole, 10 * numbers)
    assert f'{10 * study.images(4)[0]}' in make('2', every).setting


def test_figures_of_pairs_and_lines_take_no_more_restarts_than_they_can_show(study, monkeypatch):
    monkeypatch.setattr(restarts, 'BATCH_SIZE', 3)
    assert np.shape(restarts.figure_2(study, 100_000).data['losses']['A'])[0] == 3
    monkeypatch.setattr(geometry, '_MOST', 4)
    assert ', 4 restarts of each' in geometry.landscape(study, 100_000).setting


def test_what_was_computed_is_not_computed_again(study, monkeypatch):
    first = {name: make(name, study) for name in ('1', 'epsilons', 'confusion')}

    def refuse(*_, **__):
        raise AssertionError('attacked again')

    monkeypatch.setattr('common.attacks.CompiledAttack.craft', refuse)
    for name, exhibit in first.items():
        again = make(name, study)
        assert again.data == exhibit.data
    other = dataclasses.replace(study, crafting=Crafting(8, seed=1))
    with pytest.raises(AssertionError, match='attacked again'):
        make('epsilons', other)


def test_the_cache_of_another_network_is_not_used(study):
    before = strength.epsilons(study, RADII)
    changed = dataclasses.replace(
        study, load=lambda name: network({'A': 'A_prime', 'A_nat': 'A_nat'}[name])
    )
    after = strength.epsilons(changed, RADII)
    assert after.data['A'] != before.data['A'] and after.data['A_nat'] == before.data['A_nat']


def test_damaged_caches_are_computed_again(study):
    before = strength.epsilons(study, RADII)
    for path in (study.output_dir / 'cache').iterdir():
        path.write_bytes(b'no archive')
    assert strength.epsilons(study, RADII).data == before.data


def test_accuracy_falls_with_epsilon_from_the_natural_one(study):
    data = strength.epsilons(study, RADII).data['A']
    accuracies = [point['accuracy'] for point in data]
    assert accuracies[0] == 1 and accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] < accuracies[0] and all(point['n'] == 30 for point in data)


def test_more_restarts_never_leave_more(study):
    data = strength.convergence(study, steps=(1, 4), restarts=(1, 2, 4), step_sizes=(0.04,)).data
    accuracies = [point['accuracy'] for point in data['restarts']]
    assert accuracies == sorted(accuracies, reverse=True)
    # The study's own attack is a point of every curve.
    assert (
        data['steps'][1]['accuracy']
        == data['restarts'][0]['accuracy']
        == data['step size'][0]['accuracy']
    )


def test_gradients_agree_with_themselves(study):
    data = transfer.transfer_matrix(study, RELEASED).data
    cosines = np.array(data['cosines'])
    np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-5)
    np.testing.assert_allclose(cosines, cosines.T, atol=1e-6)
    assert np.abs(cosines[~np.eye(3, dtype=bool)]).max() < 0.9
    accuracy = np.array(data['accuracy'])
    assert (accuracy[0, 0] <= accuracy[1:, 0]).all()  # white box is the strongest on A
    assert data['natural'][0] == 1 and data['without_gradient'] == [0, 0, 0]
    # A classifies every image correctly without an attack.
    np.testing.assert_allclose(np.array(data['fooled'])[:, 0], 1 - accuracy[:, 0], atol=1e-9)


def test_confusion_counts_every_image(study):
    exhibit = make('confusion', study)
    counts = np.array(exhibit.data['counts'])
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(TEST.y, minlength=3))
    accuracy = study.accuracy(study.pgd, 'A', 'A').accuracy
    assert np.trace(counts) / 30 == pytest.approx(accuracy)


def a_stage(losses, factor=1.0):
    return np.array([[100 * i, loss, factor] for i, loss in enumerate(losses)])


def test_the_loss_decreases_if_its_intervals_say_so():
    noise = np.random.default_rng(0).normal(0, 0.01, 20)
    falling, flat = a_stage(np.linspace(2, 1, 20) + noise), a_stage(1 + noise)
    assert progress._decrease([falling]).verdict == REPRODUCED
    assert progress._decrease([flat]).verdict == CONTRADICTED
    claim = progress._decrease([falling, flat])
    assert claim.verdict == PARTLY and claim.measured.endswith('(holds for stage 1)')


def test_a_growing_radius_and_short_logs_are_no_evidence():
    growing = np.concatenate([a_stage([0.1] * 9, 0.5), a_stage(np.linspace(2, 1, 20))])
    assert progress._decrease([growing]).verdict == REPRODUCED
    assert progress._decrease([a_stage([2.0, 1.0, 0.5])]).verdict == NOT_TESTED


def test_means_of_windows():
    np.testing.assert_allclose(progress._smoothed(np.array([1.0, 2, 6]), 9), [3, 3, 3])
    np.testing.assert_allclose(progress._smoothed(np.array([1.0, 2, 6, 4]), 3), [1.5, 3, 4, 5])


def test_figure_4_joins_the_stages(study, released):
    exhibit = progress.figure_4(study, *released)
    assert exhibit.data == {'steps': [[0, 10], [10, 20]], 'losses': [[2.0, 1.0], [0.9, 0.5]]}
    assert 'The first one against PGD-2.' in ' '.join(exhibit.remarks)


def test_figure_4_describes_the_training_and_not_test_images(study, released):
    setting = progress.figure_4(study, *released).setting
    assert 'made-up test' not in setting
    assert 'crafted in bfloat16, seed 5' in setting and 'python -m tiny.train' in setting


@pytest.mark.parametrize(
    'contents', [None, '', 'step\n1\n', 'step,loss_adv,epsilon_factor\n0,a,1\n']
)
def test_a_damaged_log_is_named(study, released, contents):
    _, folder = released
    if contents is None:
        (folder / 'two.csv').unlink()
    else:
        (folder / 'two.csv').write_text(contents)
    with pytest.raises(UserError, match='two.csv'):
        progress.figure_4(study, *released)


def test_other_networks_can_be_compared(study):
    words = {'A_prime': 'the plain one', 'A': 'the robust one'}
    study = dataclasses.replace(study, compared=words)
    assert study.adversarial == 'A'
    exhibit = make('2', study)
    assert list(exhibit.networks) == ['A_prime', 'A']
    assert 'the plain one' in exhibit.claims[0].measured
    turned = dataclasses.replace(study, compared={'A': 'natural', 'A_prime': 'adversarial'})
    assert list(make('confusion', turned).networks) == ['A_prime']


def test_images_are_such_as_the_networks_classify_correctly(study):
    right = [np.argmax(network(name)(X), axis=1) == TEST.y for name in ('A', 'A_nat')]
    both = np.flatnonzero(right[0] & right[1])
    assert 4 < len(both) < len(TEST)
    found = {
        seed: dataclasses.replace(study, crafting=Crafting(8, seed)).images(4) for seed in range(5)
    }
    assert all(set(images) <= set(both) and len(set(images)) == 4 for images in found.values())
    assert len(set(map(tuple, found.values()))) > 1
    assert study.images(len(both)) == both.tolist()
    with pytest.raises(UserError, match=f'found {len(both)} among 30'):
        study.images(len(both) + 1)


def test_a_missing_network_is_an_error(study):
    with pytest.raises(UserError, match='no network'):
        transfer.transfer_matrix(study, {'A': RELEASED['A'], 'C': RELEASED['A']})


def test_too_few_images_are_an_error(study):
    few = dataclasses.replace(study, test=TEST.subset(slice(3)))
    with pytest.raises(UserError, match='Take more images'):
        restarts.figure_1(few, 2)


def test_combinations_reach_epsilon_and_span_what_they_combine():
    vectors = np.array([[0.1, 0, 0.05], [0, 0.1, 0.05]])
    found = directions._combinations(vectors, 0.3, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(found).max(axis=1), 0.3)
    np.testing.assert_allclose(found[:, 2], (found[:, 0] + found[:, 1]) / 2, atol=1e-12)


def test_losses_along_directions_begin_at_the_image_and_end_at_the_maxima(study):
    data = make('directions', study).data['A']
    starts = [losses[0] for losses in data['along'].values()]
    assert np.ptp(starts) < 1e-6  # share 0 is the image itself, whatever the direction
    ends = [losses[-1] for losses in data['along'].values()]
    assert ends[0] > starts[0] and ends[0] > ends[2]  # PGD leads up, further than chance


def test_figure_3_judges_each_network_and_takes_released_ones_as_they_are(study):
    exhibit = make('3', study)
    rows = {(row['adversary'], row['width']): row for row in exhibit.data['trained']}
    assert len(rows) == 6 and 'A' in exhibit.networks
    own = study.accuracy(study.pgd, 'A', 'A')
    row = rows['pgd', '2']
    assert row['PGD']['accuracy'] == own.accuracy and row['natural']['accuracy'] == 1
    nine = dataclasses.replace(study, test=TEST.subset(slice(9)))
    assert row['training_loss'] == pytest.approx(nine.accuracy(study.pgd, 'A', 'A').loss)
    natural = dataclasses.replace(study.pgd, steps=0, random_start=False)
    assert rows['none', '1']['training_loss'] == pytest.approx(
        nine.accuracy(natural, 'A_nat', 'A_nat').loss
    )
    moved = {(t['source'], t['target']): t for t in exhibit.data['transferred']}
    # From three networks to the five others each.
    assert len(moved) == len(exhibit.data['transferred']) == 15
    found = moved['natural training, width 1', 'PGD training, width 2']
    stands = study.accuracy(study.pgd, 'A_nat', 'A')  # the stand-ins behind these names
    natural = study.accuracy(natural, 'A', 'A')
    assert found['n'] == np.sum(natural.correct)
    assert found['fooled'] * found['n'] == pytest.approx(np.sum(natural.correct & ~stands.correct))
    assert exhibit.data['longer']['natural'] == rows['none', '2']['natural']  # the same stand-in
    shown = f'{rows["none", "1"]["PGD"]["accuracy"]:.1%}, '
    assert any(shown in claim.measured for claim in exhibit.claims)


def test_figure_3_of_one_width_says_nothing_of_capacity(study):
    def one(study):
        study, two = sweep(study)
        return study, dataclasses.replace(
            two,
            widths={'2': two.widths['2']},
            longer=1,
            commands={'A': 'how A was trained'},
            papers={('2', 'pgd'): (0.9, 0.5, 0.4)},
            why='it is smaller',
        )

    exhibit = capacity.figure_3(study, one)
    assert exhibit.remarks[-1] == 'Why numbers differ from the paper: it is smaller'
    said = ' '.join(claim.claim for claim in exhibit.claims)
    for words in ('Capacity alone', 'saddle point', 'longer', 'fail to converge'):
        assert words not in said
    how = {row[0]: row[-1] for row in exhibit.tables[0].rows}
    assert how['PGD training, width 2'] == 'released as A: how A was trained'
    assert how['FGSM training, width 2'] == '7 steps of batch 2, seed 0'
    column = exhibit.tables[0].columns.index('the paper')
    assert [row[column] for row in exhibit.tables[0].rows] == ['-', '-', '90.0% / 50.0% / 40.0%']
    assert {t['source'] for t in exhibit.data['transferred']} == {
        'natural training, width 2',
        'PGD training, width 2',
    }


def test_losses_are_judged_in_float32_whatever_attacks_compute_in(study):
    rough = dataclasses.replace(
        study, crafting=Crafting(8, dtype='bfloat16'), pgd=dataclasses.replace(study.pgd, steps=0)
    )
    exact = dataclasses.replace(rough, crafting=Crafting(8))
    for name in ('1', '2'):  # without a step both judge the same random points
        assert make(name, rough).data == make(name, exact).data


def test_thinned_losses_keep_both_ends():
    values = np.random.default_rng(0).uniform(1e-9, 1e-3, 54321).astype(np.float32)
    kept = restarts._thinned(values)
    assert len(kept) == 2000 and kept == sorted(kept)
    np.testing.assert_allclose(kept[0], values.min(), rtol=1e-4)
    np.testing.assert_allclose(kept[-1], values.max(), rtol=1e-4)
    np.testing.assert_allclose(restarts._thinned(values[:7]), np.sort(values[:7]), rtol=1e-4)


def test_of_all_figures_those_that_can_be_made_are_made(study, monkeypatch, capsys):
    def refuse(study):
        raise UserError('no such radius')

    made, refused = ('', restarts.figure_2), ('', refuse)
    table = {name: made if name == 'confusion' else refused for name in catalogue.FIGURES}
    monkeypatch.setattr(catalogue, 'CATALOGUE', table)
    with pytest.raises(UserError, match='not made.*: 1, 2, .*examples'):
        catalogue.make('all', study, details())
    assert (study.output_dir / 'tiny_figure_2.exhibit.json').exists()
    assert 'figure 3: no such radius' in capsys.readouterr().err
    with pytest.raises(UserError, match='no such radius'):
        catalogue.make('3', study, details())


@pytest.mark.parametrize('name', ['tiny_figure_3.png', 'tiny_figure_3.exhibit.json'])
def test_read_only_files_are_refused_before_the_work(study, monkeypatch, name):
    monkeypatch.setattr(catalogue, 'exhibit', lambda *_: pytest.fail('the work has begun'))
    (study.output_dir / name).write_text('precious')
    (study.output_dir / name).chmod(0o444)
    with pytest.raises(UserError, match=f'{name}: the file is read-only'):
        catalogue.make('3', study, details())


@pytest.mark.parametrize(
    'changes, ball, words',
    [({}, LinfBall(0.0), 'above 0'), ({'released': {'A': {}}}, LinfBall(0.1), 'A_nat')],
)
def test_what_no_figure_can_be_made_of(study, changes, ball, words):
    study = dataclasses.replace(study, pgd=dataclasses.replace(study.pgd, ball=ball))
    with pytest.raises(UserError, match=words):
        catalogue.make('all', study, details(**changes))


def test_a_data_set_that_lacks_what_a_figure_needs(study):
    with pytest.raises(UserError, match='radii and steps'):
        catalogue.make('epsilons', study, details(ranges=None))
    alone = dataclasses.replace(study, compared={})
    with pytest.raises(UserError, match='two networks that figures compare; found 0'):
        catalogue.make('confusion', alone, details())


def test_confusion_shows_the_accuracy_of_each_class_that_has_images(study):
    labels = np.minimum(TEST.y, 1)
    of_two = dataclasses.replace(study, test=Examples(X, labels, 'made-up test'))
    table = make('confusion', of_two).tables[0]
    assert table.columns[-1].startswith('accuracy') and table.rows[2][1:] == ('0', '0', '0', '-')
    for row, label in zip(table.rows[:2], (0, 1), strict=True):
        counts = list(map(int, row[1:4]))
        assert row[-1].startswith(f'{counts[label] / sum(counts):.1%} (')


def test_a_network_without_a_record_has_no_training_log(study, released):
    study = dataclasses.replace(study, compared={'A_nat': 'natural', 'A_prime': 'robust'})
    with pytest.raises(UserError, match='A_prime'):
        progress.figure_4(study, *released)
