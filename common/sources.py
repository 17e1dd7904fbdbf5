"""Where released networks come from: in words, and the commands that train them."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Origin:
    """How one released network came to be.

    Attributes:
        description: in words.
        stages: flags of the data set's training program, a run each; every run but the first starts
            from the weights of the one before (--init_from).
        stands_for: the paper's network that it is compared with; None for its namesake.
    """

    description: str
    stages: tuple[tuple[str, ...], ...]
    stands_for: str | None = None

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


def stands_for(reference: str, sources: Mapping[str, Origin]) -> str:
    """The paper's network that one is compared with; a user's own is taken for an A.

    Args:
        reference: a released name, or whatever else names a network.
        sources: the released networks.
    """
    if reference not in sources:
        return 'A'
    return sources[reference].stands_for or reference
