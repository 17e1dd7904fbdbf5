"""Every setting that shapes a training run, as one typed value."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from common.errors import UserError
from common.networks.logits import DTYPES
from common.threat_model import LinfBall
from common.training.adversaries import AdversarySettings, training_adversary
from common.training.objectives import OBJECTIVES, ObjectiveSettings, training_objective
from common.training.optimizers import OPTIMIZERS, OptimizerSettings
from common.training.schedules import SCHEDULES, ScheduleSettings, learning_rate
from common.training.setting import Subject, setting
from common.training.validation import ValidationSettings


@dataclasses.dataclass(frozen=True)
class TrainingConfig(
    # In this order, --help lists the adversary's settings first.
    ValidationSettings,
    OptimizerSettings,
    ScheduleSettings,
    ObjectiveSettings,
    AdversarySettings,
):
    """One training run; flags, config.json, recipes and figure 3's trainings derive from it.

    A data set's own class adds the fields of its networks, `network` among them. Values are checked
    by `check`, not when one is made, since recipes and flags change one field after the other.
    """

    dataset: str = setting('The images.', subject=Subject.DATA)
    seed: int = setting(
        'Seed of all random numbers.', least=0, most=2**31 - 1, subject=Subject.RANDOMNESS
    )
    batch_size: int = setting('Examples per training step, over all devices together.', least=1)
    drop_remainder: bool = setting(
        'End each epoch with its last full batch; otherwise a batch may reach into the next epoch.',
        False,
    )
    augment: bool = setting(
        'Randomly vary training images before the attack.', False, subject=Subject.DATA
    )
    sum_loss: bool = setting('Sum the loss over the batch; otherwise it is averaged.', False)
    weight_decay: float = setting(
        'Coefficient of half the sum of squares of the kernels.', 0.0, least=0.0
    )
    weight_averaging: float = setting(
        'Decay of an exponential average of the weights, which is then evaluated and saved as '
        '*.weights.h5; 0 for no average.',
        0.0,
        least=0.0,
        below=1,
    )
    mixed_precision: str = setting(
        'Precision of the pass that updates the weights, which themselves stay float32.',
        'float32',
        choices=DTYPES,
        subject=Subject.RESOURCES,
    )
    init_from: str | None = setting(
        'Start from these weights: a released name, a model folder, a weights file or the prefix '
        'of a TF1 checkpoint.',
        None,
        subject=Subject.NETWORK,
    )
    deterministic: bool = setting(
        'Use only deterministic kernels, so that resumed runs repeat every bit.',
        False,
        subject=Subject.RANDOMNESS,
    )
    jit_compile: bool = setting(
        'Compile the network and its gradients with XLA: for GPUs and TPUs; slower on CPUs.',
        False,
        subject=Subject.RESOURCES,
    )
    as_built: bool = setting(
        "Compute the attacked network layer by layer, as the challenge's code does. Otherwise it "
        'may be rearranged so that gradients take less time: the same function to rounding, but '
        'where pixels of a pooling window are equal, steps may go another way.',
        False,
        subject=Subject.RESOURCES,
    )
    log_every: int = setting(
        'Steps between lines of the log.', 100, least=1, subject=Subject.OUTPUT
    )
    checkpoint_every: int = setting(
        'Steps between checkpoints.', 300, least=1, subject=Subject.OUTPUT
    )

    @property
    def kind(self) -> str:
        """How the network is trained, in one word: the objective, or what crafts its examples."""
        return self.adversary if self.objective == 'pgd' else self.objective

    @property
    def reach(self) -> float:
        """How far all steps of the adversary lead, in pixel units; infinite without one."""
        attack = training_adversary(self, LinfBall)  # no ball changes its steps
        return float('inf') if attack is None else attack.steps * attack.step_size

    def settled(self, given: Collection[str] = ()) -> 'TrainingConfig':
        """The config without settings that would be ignored, with those its objective prefers.

        Args:
            given: settings that the user gave, which stay.
        """
        changes = {name: default for name, default, _, _ in self._ignored()}
        changes.update(OBJECTIVES[self.objective].prefers)
        return dataclasses.replace(
            self, **{name: value for name, value in changes.items() if name not in given}
        )

    def check(self) -> None:
        """Checks that settings do not contradict each other.

        Raises:
            UserError: some do, or would be ignored; the message names them as flags.
        """
        for name, _, choice, needed in self._ignored():
            raise UserError(
                f'--{name}: expected --{choice}={needed} with it; found '
                f'--{choice}={getattr(self, choice)}, which does not use it. Drop one of them.'
            )
        learning_rate(self)
        training_objective(self)

    def _ignored(self) -> Iterator[tuple[str, Any, str, str]]:
        """Settings that differ from their defaults to no effect, as (setting, default, x, y).

        It would have an effect if the setting x were y.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for choice, table in (('schedule', SCHEDULES), ('optimizer', OPTIMIZERS)):
            for needed, row in table.items():
                for name in row.uses if needed != getattr(self, choice) else ():
                    if getattr(self, name) != defaults[name]:
                        yield name, defaults[name], choice, needed

    def to_json(self) -> dict[str, Any]:
        """The contents of config.json, which `Networks.build` and manifest.json understand."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in sorted(values.items())
        }

    def updated(self, contents: Mapping[str, Any]) -> 'TrainingConfig':
        """The config, updated with the contents of a config.json.

        Args:
            contents: its contents. Settings that it lacks keep their values.

        Raises:
            ValueError: it has settings that do not exist, or a list that is not of whole numbers.
        """
        unknown = sorted(contents.keys() - {field.name for field in dataclasses.fields(self)})
        if unknown:
            raise ValueError(f'unknown settings: {", ".join(unknown)}')
        # Older files have the numbers of a list as strings.
        values: dict[str, Any] = {
            name: tuple(map(int, value)) if isinstance(value, list) else value
            for name, value in contents.items()
        }
        return dataclasses.replace(self, **values)
