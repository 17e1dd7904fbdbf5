"""Everything that data sets share: threat model, losses, attacks, training, evaluation, programs.

For a network of your own:

    from common import robust_accuracy
    print(robust_accuracy(model, x, y, epsilon=8, bounds=(0, 255)))

`attack` returns adversarial images, and `AdversarialTraining` trains with Keras' `fit`.

Nothing here depends on a data set; whatever differs between data sets is passed in as a value.
Only `common.programs` reads flags.
"""

from common import startup
from common.quiet_tensorflow import import_tensorflow

startup.begin()
import_tensorflow()

import tensorflow as tf  # noqa: E402  (after the quiet import)

# Predictions always use float32; on recent GPUs, float32 products would otherwise keep only 10 bits
# of the mantissa.
tf.config.experimental.enable_tensor_float_32_execution(False)

from common.attacks.on_arrays import attack  # noqa: E402
from common.evaluation.robust_accuracy import RobustAccuracy, robust_accuracy  # noqa: E402
from common.training.adversarial_training import AdversarialTraining  # noqa: E402

__all__ = ['AdversarialTraining', 'RobustAccuracy', 'attack', 'robust_accuracy']
