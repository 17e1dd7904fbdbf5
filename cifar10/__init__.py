"""The CIFAR-10 challenge: networks, attack, training, evaluation, checker."""

import common  # noqa: F401  (imports TensorFlow quietly, before any module of this package does)
