"""A network as a function of explicit weights, through which no variable is read or assigned."""

import keras
import tensorflow as tf

from common.networks.logits import LogitsFn, ModelLogits


class ExplicitLogits:
    """Logits of given weights; in training mode each call moves the statistics on.

    A loop that calls it has to carry its statistics along (see `common.attacks.steps.repeat`).

    Args:
        network: the network, its precision and its mode. Its own variables do not count.
        weights: values of its trainable variables.
        statistics: values of its other variables: moving averages, states of random generators.

    Attributes:
        carried: the statistics as the last call left them.
    """

    def __init__(self, network: ModelLogits, weights: list[tf.Tensor], statistics: list[tf.Tensor]):
        self._network, self._weights = network, weights
        self.carried = list(statistics)
        with self._values():
            self._logits = network.snapshot()

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, ...] float32 pixels -> [batch, classes] float32 logits."""
        with self._values() as values:
            logits = self._logits(x)
        if self._network.training and self._network.update:
            state = self._network.model.non_trainable_variables
            self.carried = [values.get_current_value(variable) for variable in state]
        return logits

    @property
    def exact(self) -> LogitsFn | None:
        """The same network in float32; None where this is float32 itself."""
        function = self._logits.exact
        if function is None:
            return None

        def logits(x: tf.Tensor) -> tf.Tensor:
            with self._values():
                return function(x)

        return logits

    def _values(self) -> keras.StatelessScope:
        """A block of code in which Keras takes these tensors for its variables' values."""
        model = self._network.model
        return keras.StatelessScope(
            [
                *zip(model.trainable_variables, self._weights, strict=True),
                *zip(model.non_trainable_variables, self.carried, strict=True),
            ]
        )
