"""How adversarial examples are crafted: all that is neither the attack nor the network."""

import dataclasses
from typing import Any

import keras

from common.arguments import checked_choice, checked_number
from common.errors import BadInput
from common.networks.logits import DTYPES, Logits, LogitsFn, ModelLogits, as_logits


@dataclasses.dataclass(frozen=True)
class Crafting:
    """Batch size, seed, precision and compiler of an attack on a whole data set.

    Attributes:
        batch_size: images per batch; part of what determines the attack's randomness.
        seed: seed of the attack's randomness.
        dtype: precision of the gradients, 'float32' or 'bfloat16'; predictions always use float32.
        jit_compile: whether XLA compiles the network and its gradients.
        as_built: whether the network's layers are computed one after the other, as the challenges
            do. Otherwise it may be rearranged so that gradients take less time: the same function
            to rounding, but where pixels of a pooling window are equal the gradient may go to
            another one of them, so that steps differ there.

    Raises:
        BadInput: a batch size below 1, a seed that is not a whole number, or an unknown dtype.
    """

    batch_size: int
    seed: int = 0
    dtype: str = 'float32'
    jit_compile: bool = False
    as_built: bool = False

    def logits(self, network: Any, output: str | int | None = None) -> LogitsFn:
        """The network as an attack computes it.

        Args:
            network: a Keras model; anything else that `common.networks.logits.as_logits` takes is
                used as it is, and a `Logits` has its precision already.
            output: name or number of the output that holds the logits, where there are several.

        Raises:
            BadInput: another function than a Keras model is to be computed in bfloat16 or by XLA.
        """
        if isinstance(network, Logits):
            return network
        if isinstance(network, keras.Model):
            return ModelLogits(
                network,
                self.dtype,
                jit_compile=self.jit_compile,
                as_built=self.as_built,
                output=output,
            )
        if self.dtype != 'float32' or self.jit_compile:
            raise BadInput(
                f'expected a Keras model to compute by {" and ".join(self.precision)}; found '
                f'{type(network).__name__}'
            )
        return as_logits(network, output=output)

    def __post_init__(self):
        for name, least in (('batch_size', 1), ('seed', None)):
            number = checked_number(name, getattr(self, name), least=least, whole=True)
            object.__setattr__(self, name, number)
        checked_choice('dtype', self.dtype, DTYPES)

    @property
    def precision(self) -> tuple[str, ...]:
        """How gradients are computed, as a part of keys: ('float32',) or ('float32', 'XLA')."""
        more = {'XLA': self.jit_compile, 'as built': self.as_built}
        return (self.dtype, *(name for name, chosen in more.items() if chosen))

    def __str__(self) -> str:
        return (
            f'batches of {self.batch_size}, seed {self.seed}, crafted in '
            f'{" by ".join(self.precision)}'
        )
