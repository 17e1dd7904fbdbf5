"""Makes the paper's figures for MNIST, and more.

    python -m mnist.figures --figure=1                   (200 restarts around 4 images)
    python -m mnist.figures --figure=3 --epsilon=0.3     (capacity, at another radius than 0.1)
    python -m mnist.figures --budget=quick               (all figures, a minute or two each)
    python -m common.report                              (collects them in results/report.html)

Results are kept in the output folder: the same command again takes seconds, or resumes an
interrupted run.
"""

from common.programs import cli, figures
from mnist.data_set import MNIST

main = cli.Door(figures, MNIST)

if __name__ == '__main__':
    main()
