"""Makes the paper's figures for CIFAR-10, and more.

    python -m cifar10.figures --figure=1             (200 restarts around 4 images)
    python -m cifar10.figures --figure=3             (trains what is not released)
    python -m cifar10.figures --budget=quick         (all figures, a minute or two each)
    python -m common.report                          (collects them in results/report.html)

Results are kept in the output folder: the same command again takes seconds, or resumes an
interrupted run.
"""

from cifar10.data_set import CIFAR10
from common.programs import cli, figures

main = cli.Door(figures, CIFAR10)

if __name__ == '__main__':
    main()
