"""What is said of random combinations, on made-up shares."""

from common.report.figures import directions


def measured(share, n=800):
    results = [(0.1, share)] * len(directions._DIMENSIONS)
    return directions._Measured(
        4, n, {'PGD': [0.0] * 11}, {'maxima': results, 'random signs': results}
    )


def test_shares_of_combinations_have_a_number_and_an_interval():
    both = {'A_nat': measured(0.5), 'A': measured(0.0)}
    said = directions._remarks(both)[0]
    assert 'n = 800 (200 of each of 4 images)' in said
    assert 'naturally trained, 50.0% [46.5% to 53.5%] of combinations of 1' in said
    assert 'adversarially trained, 0.0% [0.0% to 0.5%] of combinations of 1' in said
    table = directions._tables(both)[1]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row['misclassified'], row['95% interval'], row['n']) == (
        '50.0%',
        '46.5% to 53.5%',
        '800',
    )


def test_a_single_combination_leaves_nearly_everything_open():
    low, high = measured(1.0, n=1).interval(1.0)
    assert 0 < low < 0.25 and high == 1
