"""Measures the worst-case accuracy of your own network on your own images.

    python -m common.evaluate --model=my.keras --data=my.npz --epsilon=8 --bounds=0,255

The verdict begins with the natural accuracy; docs/your_model.md explains the rest. With --json the
same command resumes an interrupted run.
"""

from common.programs import cli, evaluate

if __name__ == '__main__':
    cli.run(evaluate.main, evaluate.define_flags, evaluate.resumes)
