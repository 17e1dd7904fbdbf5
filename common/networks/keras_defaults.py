"""Networks as published, whatever Keras' settings on this machine."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def published_defaults() -> Iterator[None]:
    """A block of code (or a decorated function) that builds float32, channels-last layers.

    `keras.config.set_dtype_policy('mixed_float16')` or a keras.json with channels_first would
    silently build another network.
    """
    policy, data_format = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy('float32')
    keras.config.set_image_data_format('channels_last')
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(data_format)
