"""The released networks: what each is, and the commands that train it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """A network of the paper's tables.

    Attributes:
        description: in words.
        stages: flags of `python -m cifar10.train`, a run each; every run but the first starts from
            the weights of the one before (--init_from).
    """

    description: str
    stages: tuple[tuple[str, ...], ...]

    def commands(self) -> list[str]:
        """The commands as they are typed, with folders models/stage1, models/stage2, ..."""
        commands = []
        for number, stage in enumerate(self.stages, 1):
            start = (f'--init_from=models/stage{number - 1}',) if number > 1 else ()
            commands.append(' '.join((
                'python -m cifar10.train', *stage, *start, f'--model_dir=models/stage{number}')))
        return commands


_FAST, _FINE_TUNE, _NATURAL = '--recipe=fast', '--recipe=fine_tune', '--recipe=natural'
_OTHER_SEED = '--seed=216105420'

SOURCES = {
    'A': Source('adversarially trained, PGD', ((_FAST,), (_FINE_TUNE,))),
    'A_prime': Source('the same with another seed', (
        (_FAST, _OTHER_SEED), (_FINE_TUNE, _OTHER_SEED))),
    'A_nat': Source('naturally trained', ((_NATURAL,),)),
    'B': Source('a plain convolutional network, naturally trained', (
        (_NATURAL, '--network=B', '--train_steps=5850', '--learning_rate=0.1'),)),
}
