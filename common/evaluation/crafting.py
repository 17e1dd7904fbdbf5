"""How adversarial examples are crafted: all that is neither the attack nor the network."""

import dataclasses

import keras

from common.networks.logits import ModelLogits


@dataclasses.dataclass(frozen=True)
class Crafting:
    """Batch size, seed, precision and compiler of an attack on a whole data set.

    Attributes:
        batch_size: images a batch; part of what the seed determines.
        seed: seed of the attack's randomness.
        dtype: precision of the gradients, 'float32' or 'bfloat16'; predictions always use float32.
        jit_compile: whether XLA compiles the network and its gradients.
    """

    batch_size: int
    seed: int = 0
    dtype: str = 'float32'
    jit_compile: bool = False

    def logits(self, model: keras.Model) -> ModelLogits:
        """The network as an attack computes it."""
        return ModelLogits(model, self.dtype, jit_compile=self.jit_compile)

    def __str__(self) -> str:
        compiler = ' by XLA' if self.jit_compile else ''
        return f'batches of {self.batch_size}, seed {self.seed}, crafted in {self.dtype}{compiler}'
