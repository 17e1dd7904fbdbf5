"""Layers of the CIFAR-10 challenge's network that Keras lacks or computes differently."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable('robust_training')
class Standardize(layers.Layer):
    """(x - mean) / max(sd, 1 / sqrt(pixels)) for each image, with gradients through mean and sd.

    This is `tf.image.per_image_standardization`, which the challenge puts inside the network
    (cifar10_challenge/model.py). It is always computed in float32: bfloat16 would round pixels from
    0 to 255 to 8 bits before the mean is subtracted.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, height, width, channels] pixels -> the same shape, in the layer's dtype."""
        x = tf.image.per_image_standardization(tf.cast(x, tf.float32))
        return tf.cast(x, self.compute_dtype)


@keras.saving.register_keras_serializable('robust_training')
class BatchNormalization(layers.BatchNormalization):
    """Keras' layer with TensorFlow's fused kernel.

    On a CPU, Keras' own layer takes half of the network's time.

    It computes the same function. The moving variance follows the biased variance of the batch, as
    in Keras and in TensorFlow 1.1, which trained the challenge's models.
    """

    def add_weight(self, *args, **kwargs) -> keras.Variable:
        """Keeps the scale, the offset and the statistics float32 in every precision."""
        return super().add_weight(*args, **{**kwargs, 'autocast': False})

    def call(self, x: tf.Tensor, training: bool = False, mask: None = None) -> tf.Tensor:
        """[batch, h, w, channels] -> the same shape; training updates the moving averages."""
        batch_statistics = bool(training and self.trainable)
        mean, variance = ([], []) if batch_statistics else (self.moving_mean, self.moving_variance)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.gamma,
            offset=self.beta,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=batch_statistics,
        )
        if batch_statistics:
            n = tf.cast(tf.size(x) / x.shape[-1], tf.float32)
            self._follow(self.moving_mean, mean)
            # The kernel normalizes by the biased variance but returns the unbiased one.
            self._follow(self.moving_variance, variance * (n - 1) / n)
        return y

    def _follow(self, moving: keras.Variable, batch: tf.Tensor) -> None:
        moving.assign(self.momentum * moving + (1 - self.momentum) * batch)


@keras.saving.register_keras_serializable('robust_training')
class LeakyReLU(layers.Layer):
    """x where x >= 0, else 0.1 x: at exactly 0 the challenge's slope is 1, Keras' is 0.1."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Any shape -> the same shape."""
        return _leaky_relu(x)


_SLOPE = 0.1


@tf.custom_gradient
def _leaky_relu(x: tf.Tensor) -> tuple:
    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # One kernel is much faster than tf.where. It uses slope 1 where features > 0, so zeros are
        # shifted to just above 0; no other value changes branch.
        above = x + tf.constant(_SMALLEST, x.dtype)
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=above, alpha=_SLOPE)

    return tf.nn.leaky_relu(x, _SLOPE), gradient


_SMALLEST = 2e-38  # a little above the smallest normal number of float32 and bfloat16


@keras.saving.register_keras_serializable('robust_training')
class Shortcut(layers.Layer):
    """The shortcut around a residual unit's convolutions, without parameters.

    It averages windows of `stride` x `stride` pixels and pads the channels with zeros, half of them
    before and half after the existing ones.

    Args:
        filters: output channels.
        stride: 1 or 2.
    """

    def __init__(self, filters: int, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.stride = filters, stride

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, h, w, in] -> [batch, h // stride, w // stride, filters]."""
        if self.stride > 1:
            x = tf.nn.avg_pool2d(x, self.stride, self.stride, 'VALID')
        added = (self.filters - x.shape[-1]) // 2
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [added, added]]) if added else x

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), 'filters': self.filters, 'stride': self.stride}
