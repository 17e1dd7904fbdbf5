"""The parts of the CIFAR-10 challenge's network that Keras lacks or does differently."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable('robust_training')
class Standardize(layers.Layer):
    """(x - mean) / max(sd, 1 / sqrt(pixels)) of each image, with gradients through mean and sd.

    It is `tf.image.per_image_standardization`, which the challenge puts inside the network
    (cifar10_challenge/model.py). Always computed in float32, since bfloat16 would round pixels of
    0 to 255 to 8 bits before the mean is taken away.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[batch, height, width, channels] pixels -> the same shape, in the layer's dtype."""
        x = tf.image.per_image_standardization(tf.cast(x, tf.float32))
        return tf.cast(x, self.compute_dtype)


@keras.saving.register_keras_serializable('robust_training')
class BatchNormalization(layers.BatchNormalization):
    """Keras' layer by TensorFlow's fused kernel: on a CPU half of the network's time otherwise.

    The same function, also of the moving variance, which follows the biased variance of the batch
    as in the TensorFlow 1.1 that trained the challenge's models.
    """

    def add_weight(self, *args, **kwargs) -> keras.Variable:
        """The scale, the offset and the statistics stay float32 in every precision."""
        return super().add_weight(*args, **{**kwargs, 'autocast': False})

    def call(self, x: tf.Tensor, training: bool = False, mask: None = None) -> tf.Tensor:
        """[batch, h, w, channels] -> the same shape; in training the moving averages move on."""
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
            # The kernel returns the unbiased variance, though it normalizes by the biased one.
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
        # One kernel, much faster than tf.where; it takes features > 0 for the upper branch, so
        # zeros are moved just above it and nothing else is.
        above = x + tf.constant(_SMALLEST, x.dtype)
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=above, alpha=_SLOPE)

    return tf.nn.leaky_relu(x, _SLOPE), gradient


_SMALLEST = 2e-38  # a little above the least normal number of float32 and bfloat16


@keras.saving.register_keras_serializable('robust_training')
class Shortcut(layers.Layer):
    """The residual unit's way around its convolutions, without parameters.

    Averages windows of `stride` x `stride` pixels and adds channels of zeros, half of them before
    and half after the others.

    Args:
        filters: channels that come out.
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
        """What a copy of this layer is made from."""
        return {**super().get_config(), 'filters': self.filters, 'stride': self.stride}
