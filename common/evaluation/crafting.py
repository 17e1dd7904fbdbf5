"""How adversarial examples are crafted: all that is neither the attack nor the network."""

import dataclasses

import keras

from common.networks.logits import LogitsFn, ModelLogits


@dataclasses.dataclass(frozen=True)
class Crafting:
    """Batch size, seed, precision and compiler of an attack on a whole data set.

    Attributes:
        batch_size: images per batch; part of what determines the attack's randomness.
        seed: seed of the attack's randomness.
        dtype: precision of the gradients, 'float32' or 'bfloat16'; predictions always use float32.
        jit_compile: whether XLA compiles the network and its gradients.
    """

    batch_size: int
    seed: int = 0
    dtype: str = 'float32'
    jit_compile: bool = False

    def logits(self, network: keras.Model | LogitsFn) -> LogitsFn:
        """The network as an attack computes it.

        Args:
            network: a Keras model; any other function from pixels to logits is used as it is.

        Raises:
            ValueError: another function than a Keras model is to be computed in bfloat16 or by XLA.
        """
        if isinstance(network, keras.Model):
            return ModelLogits(network, self.dtype, jit_compile=self.jit_compile)
        if self.precision != ('float32',):
            raise ValueError(
                f'expected a Keras model to compute by {" and ".join(self.precision)}; found '
                f'{type(network).__name__}'
            )
        return network

    @property
    def precision(self) -> tuple[str, ...]:
        """How gradients are computed, as a part of keys: ('float32',) or ('float32', 'XLA')."""
        return (self.dtype, 'XLA') if self.jit_compile else (self.dtype,)

    def __str__(self) -> str:
        return (
            f'batches of {self.batch_size}, seed {self.seed}, crafted in '
            f'{" by ".join(self.precision)}'
        )
