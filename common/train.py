"""Trains your own network on your own images against an adversary.

    python -m common.train --model=my.keras --data=my.npz --epsilon=8 --bounds=0,255 --model_dir=run

The same command resumes an interrupted run. docs/your_model.md shows what it writes.
"""

from common.programs import cli, train_own

if __name__ == '__main__':
    cli.run(train_own.main, train_own.define_flags)
