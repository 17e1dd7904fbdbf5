"""What the data sets share: threat model, losses, attacks, training, evaluation, checkpoints.

Nothing in here knows a data set or reads a flag; whatever differs between data sets arrives as a
value.
"""

from common.quiet import import_tensorflow

import_tensorflow()
