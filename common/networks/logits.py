"""How attacks and evaluation see a network: as a function from pixels to logits."""

import abc
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.src.models import Functional  # which Keras exports under no other name

from common.errors import BadInput, UserError, reason
from common.networks.fast_gradients import rearranged

LogitsFn = Callable[[tf.Tensor], tf.Tensor]
"""[batch, ...] float32 pixels -> [batch, classes] float32 logits."""

DTYPES = ('float32', 'bfloat16')

_ROUNDED = 0.1  # of the largest logit: more than rounding makes of a network in lower precision


class Logits(abc.ABC):
    """A network as a LogitsFn: in evaluation mode unless it says otherwise, logits in float32."""

    @abc.abstractmethod
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, classes] float32 logits of [batch, ...] float32 pixels."""


@dataclasses.dataclass(frozen=True)
class Snapshot(Logits):
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


class ModelLogits(Logits):
    """A Keras model that returns logits, as a LogitsFn, computed in a chosen precision.

    bfloat16 about doubles the speed of gradients on processors and GPUs that have it, and is for
    crafting only: predictions always use float32, or the model's own precision where that is
    another one.

    Args:
        model: Keras model, [batch, ...] -> [batch, classes]. One logit is that of class 1 of two.
        dtype: 'float32' or 'bfloat16', the precision of the layers' arithmetic. A dense layer at
            the end stays in float32, and logits are always returned as float32. None leaves each
            layer its own precision, as `model.predict` does.
        training: whether layers run in training mode (batch statistics, dropout).
        update: whether training mode updates the model's moving averages.
        jit_compile: whether XLA compiles the network and its gradients, once for each batch size.
        as_built: whether `snapshot` computes the layers one after the other, too.
        output: name or number of the output that holds the logits, for models with several.

    Raises:
        ValueError: unknown dtype.
        BadInput: when called, a model with several outputs and no `output`.
        UserError: bfloat16 for a model whose layers cannot be cloned in another precision.
    """

    def __init__(
        self,
        model: keras.Model,
        dtype: str | None = 'float32',
        training: bool = False,
        update: bool = True,
        jit_compile: bool = False,
        as_built: bool = False,
        output: str | int | None = None,
    ):
        if dtype not in (*DTYPES, None):
            raise ValueError(f'unknown dtype {dtype!r}; expected one of: {", ".join(DTYPES)}')
        self.model = model
        self.dtype = dtype
        self.training = training
        self.update = update
        self.jit_compile = jit_compile
        self.as_built = as_built
        self.output = output
        if dtype == 'bfloat16':
            _ = self._clone  # fails early

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self._plain()(x)

    def snapshot(self) -> Snapshot:
        """The same function, to rounding, with the weights read once: for many calls in one graph.

        Where the network allows, it is rearranged so that input gradients take less time.
        """
        logits = self._rearranged(self.dtype) or self._plain()
        if self.dtype != 'bfloat16':
            return Snapshot(logits)
        return Snapshot(logits, exact=self._rearranged('float32') or self._layers)

    @functools.cached_property
    def _clone(self) -> keras.Model | None:
        """The model rebuilt in `dtype`; None where its own layers are used."""
        if self.dtype == 'bfloat16':
            return _clone_in(self.model, 'mixed_bfloat16')
        if self.dtype is None or all(
            layer.compute_dtype == 'float32' for layer in self.model._flatten_layers()
        ):
            return None
        try:
            # Gradients of float16 would vanish.
            return _clone_in(self.model, 'float32')
        except UserError:  # attacks warn where gradients do vanish
            return None

    def verify(self, x: tf.Tensor) -> None:
        """Makes sure that the model rebuilt in another precision computes the same function.

        Layers may hold what is neither in their config nor in their weights.

        Args:
            x: [batch, ...] float32 pixels.

        Raises:
            UserError: it does not, and the model's own layers have not the precision asked for.
        """
        if self._clone is None or self.training:
            return
        own = logits_of(self.model(x, training=False), self.output)
        scale = tf.maximum(tf.reduce_max(tf.abs(own)), 1e-30)
        if float(tf.reduce_max(tf.abs(self._plain()(x) - own)) / scale) < _ROUNDED:
            return
        if self.dtype == 'bfloat16':
            raise UserError(
                f'{self.model.name!r} computes something else when it is rebuilt in bfloat16: its '
                'layers hold numbers that are neither weights nor in get_config. Use float32.'
            )
        self.__dict__['_clone'] = None

    def _layers(self, x: tf.Tensor) -> tf.Tensor:
        return logits_of(self.model(x, training=self.training), self.output)

    def _rearranged(self, dtype: str | None) -> LogitsFn | None:
        # On GPUs this was measured with XLA only.
        on_gpu = bool(tf.config.list_physical_devices('GPU'))
        if self.as_built or dtype is None or self.training or (on_gpu and not self.jit_compile):
            return None
        fast = rearranged(self.model, dtype)
        if fast is None:
            return None
        if self.jit_compile:
            fast = tf.function(fast, autograph=False, jit_compile=True)
        return lambda x: logits_of(fast(x))

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
            if self.dtype and len(v.shape) > 1 and id(v) not in kept
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
            return logits_of(z, self.output)

        return logits


class AnyLogits(Logits):
    """Any network that is not a Keras model as a LogitsFn.

    Keras models inside of it are called with training=False unless it says otherwise itself.

    Args:
        network: a function, a `tf.Module` that can be called, what `tf.saved_model.load` returns,
            or one of its signatures; [batch, ...] pixels -> [batch, classes] logits.
        output: name or number of the output that holds the logits, where there are several.

    Raises:
        BadInput: it cannot be called, or is a SavedModel without the usual signature.
    """

    def __init__(self, network: Any, output: str | int | None = None):
        self.network, self.output = network, output
        self._evaluated = _InEvaluationMode(_function(network))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return logits_of(self._evaluated(x, training=False), self.output)


class _InEvaluationMode(keras.layers.Layer):
    """A function inside of which Keras' layers, even random ones, are in evaluation mode."""

    def __init__(self, function: Callable[[tf.Tensor], Any]):
        super().__init__(name='network', dtype='float32', autocast=False)
        self._function = function
        self.built = True

    def call(self, x: tf.Tensor, training: bool | None = None) -> Any:
        return self._function(x)


_SIGNATURE = 'serving_default'


def _function(network: Any) -> Callable[[tf.Tensor], Any]:
    """What maps pixels to outputs in a SavedModel, its signature or anything that is callable."""
    signatures = getattr(network, 'signatures', None)
    if signatures is not None and not callable(network):
        if _SIGNATURE not in signatures:
            names = ', '.join(map(repr, signatures)) or 'none'
            raise BadInput(
                f'expected a SavedModel with the signature {_SIGNATURE!r}; found {names}. '
                'Give one of its signatures: loaded.signatures[NAME].'
            )
        network = signatures[_SIGNATURE]
    inputs: Mapping = getattr(network, 'structured_input_signature', ((), {}))[1]
    if len(inputs) == 1:  # a signature, which takes its arguments by name
        ((name, spec),) = inputs.items()
        return lambda x: network(**{name: tf.cast(x, spec.dtype)})
    if not callable(network):
        raise BadInput(
            'expected a Keras model, a SavedModel or a function from pixels to logits as the '
            f'network; found {type(network).__name__}.'
        )
    named = {'training': False} if _takes_training(network) else {}
    return lambda x: network(tf.convert_to_tensor(x), **named)


def _takes_training(network: Callable) -> bool:
    """Whether it has a parameter `training`, which evaluation mode sets."""
    try:
        return 'training' in inspect.signature(network).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return False


def as_logits(
    network: Any, *, dtype: str | None = 'float32', output: str | int | None = None
) -> LogitsFn:
    """Any network as a LogitsFn in evaluation mode.

    Args:
        network: a Keras model, or whatever `AnyLogits` takes. A `Logits` is returned as it is.
        dtype: precision of a Keras model; None for its own, which `model.predict` computes in.
        output: name or number of the output that holds the logits, where there are several.

    Raises:
        BadInput: `network` is nothing that can be called.
    """
    if isinstance(network, Logits):
        return network
    if isinstance(network, keras.Model):
        return ModelLogits(network, dtype, as_built=True, output=output)
    return AnyLogits(network, output)


def logits_of(outputs: Any, output: str | int | None = None) -> tf.Tensor:
    """[batch, classes] float32 logits in what a network returned, whatever its precision.

    A single logit z is taken as that of class 1 of two: it becomes (0, z).

    Args:
        outputs: [batch, classes], [batch, 1] or [batch] logits, or several outputs.
        output: name or number of the one that holds the logits.

    Raises:
        BadInput: there are several and `output` is none of them, or a single one has no name.
    """
    if isinstance(outputs, Mapping):
        names = list(outputs)
        if output is None and len(names) == 1:
            output = names[0]
        if output not in names:
            raise BadInput(_several(', '.join(map(repr, names)), output))
        outputs = outputs[output]
    elif isinstance(outputs, (list, tuple)):
        if output is None and len(outputs) == 1:
            output = 0
        if not isinstance(output, int) or not -len(outputs) <= output < len(outputs):
            raise BadInput(_several(f'0 to {len(outputs) - 1}', output))
        outputs = outputs[output]
    elif output is not None:
        raise BadInput(
            f'expected output=None, since the network has a single output; found {output!r}'
        )
    logits = tf.cast(outputs, tf.float32)
    if logits.shape.rank is None:
        raise BadInput(
            'expected logits whose shape TensorFlow knows; found none, as of a tf.numpy_function. '
            'Return tf.ensure_shape(logits, [None, CLASSES]).'
        )
    if len(logits.shape) == 1:
        logits = logits[:, None]
    if len(logits.shape) == 2 and logits.shape[1] == 1:
        logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
    return logits


def input_shape(logits_fn: LogitsFn) -> tuple[int | None, ...] | None:
    """Shape of one image as a network takes it, None for open sides; None where it is not known."""
    model = getattr(logits_fn, 'model', None)
    shape = getattr(model, 'input_shape', None) if model is not None and model.built else None
    if not isinstance(shape, tuple) or any(isinstance(side, tuple) for side in shape):
        return None
    return shape[1:]


def _several(names: str, found: str | int | None) -> str:
    return (
        f'expected one tensor of logits; the network returned several. Say which one: output= one '
        f'of {names}; found {found!r}'
    )


def snapshot(logits_fn: LogitsFn) -> LogitsFn:
    """`ModelLogits` with its weights read once; any other `Logits` or function as it is."""
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
        for part in model._flatten_layers():
            # Keras would clone a subclass without the `call` that makes it one.
            if isinstance(part, _CHAINS) and type(part) not in _CHAINS:
                raise TypeError(f'it has a {type(part).__name__}')
        return keras.models.clone_model(model, clone_function=clone, recursive=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UserError(
            f'{model.name!r} cannot be rebuilt in {policy} (only Sequential and functional models '
            f'of layers with get_config can): {reason(error)}. Use float32.'
        ) from error


_CHAINS: tuple[type, ...] = (keras.Sequential, Functional)


def _dense_at_the_end(model: keras.Model) -> list[keras.layers.Layer]:
    """The dense layer that returns the logits, where one does."""
    return [layer for layer in model.layers[-1:] if isinstance(layer, keras.layers.Dense)]
