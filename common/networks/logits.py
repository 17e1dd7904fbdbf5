"""How attacks and evaluation see a network: as a function from pixels to logits."""

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


class ModelLogits:
    """A Keras model that returns logits, as a LogitsFn, computed in a chosen precision.

    bfloat16 about doubles the speed of gradients on processors and GPUs that have it, and is meant
    for crafting only: what is judged is judged in float32.

    Args:
        model: Keras model, [batch, ...] -> [batch, classes].
        dtype: 'float32' or 'bfloat16', the precision of the layers' arithmetic, but for a dense
            layer at the end, which stays in float32. Logits are always returned as float32.
        training: whether layers run in training mode (batch statistics, dropout).
        update: whether training mode moves the model's moving averages on.
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

    def snapshot(self) -> LogitsFn:
        """The same function, to rounding, with the weights read once: for many calls in one graph.

        Where the network allows, it is arranged so that input gradients take less time.
        """
        fast = self._rearranged(self.dtype)
        return self._plain() if fast is None else self._marked(fast)

    def _rearranged(self, dtype: str) -> LogitsFn | None:
        # On GPUs this was measured with XLA alone.
        on_gpu = bool(tf.config.list_physical_devices('GPU'))
        if self.training or (on_gpu and not self.jit_compile):
            return None
        fast = rearranged(self.model, dtype)
        if fast is None or not self.jit_compile:
            return fast
        return tf.function(fast, autograph=False, jit_compile=True)

    def _plain(self) -> LogitsFn:
        """The layers one after the other, as Keras computes them."""
        direct = self._clone is None and (self.update or not self.training)
        if direct and not self.jit_compile:
            return lambda x: _float32(self.model(x, training=self.training))
        clone = self._clone or self.model
        # Kernels are cast once. The rest is small, and some of it has to stay float32.
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
            # In training mode each call sees the averages that the last one left.
            before = fixed or [tf.convert_to_tensor(v) for v in state]
            z, after = call(trainable, before, x)
            if self.training and self.update:
                for variable, value in zip(state, after, strict=True):
                    variable.assign(value)
            # Losses of bfloat16 logits would flatten small differences between classes.
            return _float32(z)

        return self._marked(logits)

    def _marked(self, logits: LogitsFn) -> LogitsFn:
        """With the float32 function at hand, if this one is not that precise."""
        if self.dtype != 'float32':
            fast = self._rearranged('float32')
            logits.exact = fast or (lambda x: _float32(self.model(x, training=self.training)))
        return logits


def _float32(outputs: Any) -> tf.Tensor:
    """What a model returned, in float32 whatever its own precision."""
    if not tf.is_tensor(outputs):
        raise ValueError(
            f'expected one tensor of logits; the model returned a {type(outputs).__name__}. Attack '
            'one of its outputs: keras.Model(model.inputs, model.outputs[0])'
        )
    return tf.cast(outputs, tf.float32)


def check_logits(logits: tf.Tensor) -> None:
    """Looks at some logits for what would make an attack meaningless.

    Args:
        logits: [batch, classes] float32, as the network returned them.

    Raises:
        ValueError: not a row of numbers an image.

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
    """`logits_fn` with its weights read once where it offers that, else `logits_fn` itself."""
    return logits_fn.snapshot() if isinstance(logits_fn, ModelLogits) else logits_fn


def exact(logits_fn: LogitsFn) -> LogitsFn:
    """The float32 function behind a snapshot in lower precision, else `logits_fn` itself."""
    return getattr(logits_fn, 'exact', logits_fn)


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
