"""Table 2 of the paper, as data, and what its full version reports of the simple network."""

from common.paper_table import PaperRow, PaperTable

# Figure 4 of arXiv version 4 does not say how many steps its PGD takes. It has 45.8% for the wide
# network, which table 2 reports of 20 steps, so all its PGD numbers are taken as those of 20.

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

TABLE_2 = PaperTable(_WIDE, epsilon=8.0, step_size=2.0)
SIMPLE = PaperTable(_SIMPLE, epsilon=8.0, step_size=2.0)
