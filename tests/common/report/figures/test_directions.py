"""The claim about random combinations, on made-up shares."""

from common.report.claims import CONTRADICTED, PARTLY
from common.report.figures import directions


def measured(share, n=800):
    results = [(0.1, share)] * len(directions._DIMENSIONS)
    return directions._Measured(
        4, n, {'PGD': [0.0] * 11}, {'maxima': results, 'random signs': results}
    )


def test_shares_of_combinations_have_a_number_and_an_interval():
    both = {'naturally trained': measured(0.5), 'adversarially trained': measured(0.0)}
    said = directions._subspaces(both)
    assert said.n == '800 combinations (200 of each of 4 images)'
    assert 'naturally trained: 50.0%, 50.0%, 50.0%;' in said.measured
    assert 'naturally trained: 46.5% to 53.5%, 46.5%' in said.interval
    assert 'adversarially trained: 0.0% to 0.5%' in said.interval


def test_a_single_combination_leaves_nearly_everything_open():
    share = measured(1.0, n=1).share('maxima', 0)
    assert share.value == 1 and 0 < share.low < 0.25 and share.high == 1


def test_combinations_that_are_all_adversarial_speak_for_the_subspace_view():
    all_adversarial = {'naturally trained': measured(1.0), 'adversarially trained': measured(1.0)}
    assert directions._subspaces(all_adversarial).verdict == CONTRADICTED
    one = {'naturally trained': measured(1.0), 'adversarially trained': measured(0.9)}
    assert directions._subspaces(one).verdict == PARTLY
