"""Where released networks come from: in words, and the commands that train them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Origin:
    """How one released network came to be.

    Attributes:
        description: in words.
        stages: flags of the data set's training program, a run each; every run but the first starts
            from the weights of the one before (--init_from).
    """

    description: str
    stages: tuple[tuple[str, ...], ...]

    def commands(self, data_set: str) -> list[str]:
        """The commands as they are typed; of several, with folders models/stage1, models/stage2.

        Args:
            data_set: 'mnist' or 'cifar10'.
        """
        commands = []
        for number, stage in enumerate(self.stages, 1):
            start = (f'--init_from=models/stage{number - 1}',) if number > 1 else ()
            folder = (f'--model_dir=models/stage{number}',) if len(self.stages) > 1 else ()
            commands.append(' '.join((f'python -m {data_set}.train', *stage, *start, *folder)))
        return commands
