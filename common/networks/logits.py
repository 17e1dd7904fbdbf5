"""How attacks and evaluation see a network: as a function from pixels to logits."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from common.errors import UserError, reason
from common.networks.fast_gradients import rearranged

LogitsFn = Callable[[tf.Tensor], tf.Tensor]
"""[batch, ...] float32 pixels -> [batch, classes] float32 logits."""

DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A network with its weights read once, as a LogitsFn for many calls in one graph.

    Attributes:
        logits: the function.
        exact: the same network in float32; None where `logits` is float32 itself.
    """

    logits: LogitsFn
    exact: LogitsFn | None = None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, classes] float32 logits of [batch, ...] float32 pixels."""
        return self.logits(x)


class ModelLogits:
    """A Keras model that returns logits, as a LogitsFn, computed in a chosen precision.

    bfloat16 about doubles the speed of gradients on processors and GPUs that have it, and is for
    crafting only: predictions always use float32.

    Args:
        model: Keras model, [batch, ...] -> [batch, classes].
        dtype: 'float32' or 'bfloat16', the precision of the layers' arithmetic. A dense layer at
            the end stays in float32, and logits are always returned as float32.
        training: whether layers run in training mode (batch statistics, dropout).
        update: whether training mode updates the model's moving averages.
        jit_compile: whether XLA compiles the network and its gradients, once for each batch size.

    Raises:
        ValueError: unknown dtype; when called, a model with several outputs.
        UserError: bfloat16 for a model whose layers cannot be cloned in another precision.
    """

    def __init__(
        self,
        model: keras.Model,
        dtype: str = 'float32',
        training: bool = False,
        update: bool = True,
        jit_compile: bool = False,
    ):
        if dtype not in DTYPES:
            raise ValueError(f'unknown dtype {dtype!r}; expected one of: {", ".join(DTYPES)}')
        self.model = model
        self.dtype = dtype
        self.training = training
        self.update = update
        self.jit_compile = jit_compile
        self._clone = None if dtype == 'float32' else _clone_in(model, f'mixed_{dtype}')

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self._plain()(x)

    def snapshot(self) -> Snapshot:
        """The same function, to rounding, with the weights read once: for many calls in one graph.

        Where the network allows, it is rearranged so that input gradients take less time.
        """
        logits = self._rearranged(self.dtype) or self._plain()
        if self.dtype == 'float32':
            return Snapshot(logits)
        return Snapshot(logits, exact=self._rearranged('float32') or self._layers)

    def _layers(self, x: tf.Tensor) -> tf.Tensor:
        return _float32(self.model(x, training=self.training))

    def _rearranged(self, dtype: str) -> LogitsFn | None:
        # On GPUs this was measured with XLA only.
        on_gpu = bool(tf.config.list_physical_devices('GPU'))
        if self.training or (on_gpu and not self.jit_compile):
            return None
        fast = rearranged(self.model, dtype)
        if fast is None or not self.jit_compile:
            return fast
        return tf.function(fast, autograph=False, jit_compile=True)

    def _plain(self) -> LogitsFn:
        """The layers one after the other, exactly as Keras computes them."""
        direct = self._clone is None and (self.update or not self.training)
        if direct and not self.jit_compile:
            return self._layers
        clone = self._clone or self.model
        # Kernels are cast once. The rest is small, and some of it must stay float32.
        kept = {id(v) for layer in _dense_at_the_end(self.model) for v in layer.weights}
        trainable = [
            tf.cast(v, self.dtype)
            if len(v.shape) > 1 and id(v) not in kept
            else tf.convert_to_tensor(v)
            for v in self.model.trainable_variables
        ]
        state = self.model.non_trainable_variables
        fixed = None if self.training else [tf.convert_to_tensor(v) for v in state]

        @tf.function(autograph=False, jit_compile=True)
        def compiled(*arguments):
            return clone.stateless_call(*arguments, training=self.training)

        call = (
            compiled
            if self.jit_compile
            else functools.partial(clone.stateless_call, training=self.training)
        )

        def logits(x: tf.Tensor) -> tf.Tensor:
            # In training mode each call continues from the moving averages of the last one.
            before = fixed or [tf.convert_to_tensor(v) for v in state]
            z, after = call(trainable, before, x)
            if self.training and self.update:
                for variable, value in zip(state, after, strict=True):
                    variable.assign(value)
            # Losses of bfloat16 logits would flatten small differences between classes.
            return _float32(z)

        return logits


def _float32(outputs: Any) -> tf.Tensor:
    """A model's output in float32, whatever its own precision."""
    if not tf.is_tensor(outputs):
        raise ValueError(
            f'expected one tensor of logits; the model returned a {type(outputs).__name__}. Attack '
            'one of its outputs: keras.Model(model.inputs, model.outputs[0])'
        )
    return tf.cast(outputs, tf.float32)


def check_logits(logits: tf.Tensor) -> None:
    """Checks some logits for mistakes that would make an attack meaningless.

    Args:
        logits: [batch, classes] float32, as the network returned them.

    Raises:
        ValueError: not one row of numbers for each image.

    Warns:
        UserWarning: every row is a probability distribution: a softmax was applied, and saturated
            probabilities have gradients of zero, which look like robustness and are not.
    """
    if len(logits.shape) != 2 or logits.shape[1] < 2:
        raise ValueError(f'expected logits of shape [batch, classes]; found {logits.shape}')
    values = tf.cast(logits, tf.float32)
    one = tf.abs(tf.reduce_sum(values, axis=1) - 1)
    if bool(tf.reduce_all(values >= 0) & tf.reduce_all(one < 1e-3)):
        warnings.warn(
            'the network returns probabilities (every row is positive and sums to 1), but attacks '
            'need logits: saturated probabilities have no gradient. Remove its last softmax.',
            stacklevel=4,
        )


def snapshot(logits_fn: LogitsFn) -> LogitsFn:
    """`ModelLogits` with its weights read once; any other function as it is."""
    return logits_fn.snapshot() if isinstance(logits_fn, ModelLogits) else logits_fn


def exact(logits_fn: LogitsFn) -> LogitsFn:
    """The float32 function behind one in lower precision; any other function as it is."""
    return getattr(logits_fn, 'exact', None) or logits_fn


def _clone_in(model: keras.Model, policy: str) -> keras.Model:
    def clone(layer: Any) -> Any:
        config = layer.get_config()
        # Rounded logits would hide small differences between images.
        config['dtype'] = 'float32' if layer in _dense_at_the_end(model) else policy
        return layer.__class__.from_config(config)

    try:
        return keras.models.clone_model(model, clone_function=clone, recursive=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UserError(
            f'{model.name!r} cannot be rebuilt in {policy} (only Sequential and functional models '
            f'of layers with get_config can): {reason(error)}. Use float32.'
        ) from error


def _dense_at_the_end(model: keras.Model) -> list[keras.layers.Layer]:
    """The dense layer that returns the logits, where one does."""
    return [layer for layer in model.layers[-1:] if isinstance(layer, keras.layers.Dense)]
