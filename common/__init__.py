"""What the data sets share: threat model, losses, attacks, training, evaluation, checkpoints.

Nothing in here knows a data set or reads a flag; whatever differs between data sets arrives as a
value.
"""

from common.quiet_tensorflow import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402  (after the quiet import)

# On recent GPUs float32 products would otherwise keep 10 bits of the mantissa, and what is judged
# is judged in float32.
tf.config.experimental.enable_tensor_float_32_execution(False)
