"""Table 2 of the paper, and the results of its full version for the simple network, as data."""

from common.report.paper_table import PaperRow, PaperTable

# Figure 4 of arXiv version 4 does not say how many steps its PGD takes. Its 45.8% for the wide
# network is table 2's number for 20 steps, so all its PGD numbers are taken to be for 20 steps.

_WIDE = (
    PaperRow('natural', 0, 1, 'A', 0.873),
    PaperRow('fgsm', 1, 1, 'A', 0.561),
    PaperRow('pgd', 7, 1, 'A', 0.500),
    PaperRow('pgd', 20, 1, 'A', 0.458),
    PaperRow('cw', 30, 1, 'A', 0.468),
    PaperRow('fgsm', 1, 1, 'A_prime', 0.670),
    PaperRow('pgd', 7, 1, 'A_prime', 0.642),
    PaperRow('cw', 30, 1, 'A_prime', 0.787),
    PaperRow('fgsm', 1, 1, 'A_nat', 0.856),
    PaperRow('pgd', 7, 1, 'A_nat', 0.860),
    # The naturally trained network (arXiv version 4, figure 4).
    PaperRow('natural', 0, 1, 'A_nat', 0.952, target='A_nat'),
    PaperRow('fgsm', 1, 1, 'A_nat', 0.327, target='A_nat'),
    PaperRow('pgd', 20, 1, 'A_nat', 0.035, target='A_nat'),
)

# The simple network (arXiv version 4, figure 4).
_SIMPLE = (
    PaperRow('natural', 0, 1, 'A', 0.794),
    PaperRow('fgsm', 1, 1, 'A', 0.517),
    PaperRow('pgd', 20, 1, 'A', 0.437),
    PaperRow('natural', 0, 1, 'A_nat', 0.927, target='A_nat'),
    PaperRow('fgsm', 1, 1, 'A_nat', 0.275, target='A_nat'),
    PaperRow('pgd', 20, 1, 'A_nat', 0.008, target='A_nat'),
)

_WHY = (
    "The column 'paper' is for the wide network, which has a hundred times as many parameters; "
    "'paper_simple' is for the architecture used here.",
    'Why numbers differ from those of the simple network: the paper trained for 80,000 batches of '
    '128. A was trained for 8,970 (a ninth as many, and most of them against PGD-2 instead of '
    'PGD-7), A_nat for 11,700.',
)

# The same figure: natural, FGSM and PGD accuracy of the simple network, trained in three ways.
SIMPLE_TRAININGS = {
    'none': (0.927, 0.275, 0.008),
    'fgsm': (0.874, 0.909, 0.0),
    'pgd': (0.794, 0.517, 0.437),
}

_KINDS = dict.fromkeys(('A_prime', 'A_nat'), 'black box')

TABLE_2 = PaperTable(_WIDE, epsilon=8.0, step_size=2.0, network='A', why=_WHY, kinds=_KINDS)
SIMPLE = PaperTable(_SIMPLE, epsilon=8.0, step_size=2.0, network='A')
