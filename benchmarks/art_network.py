"""A Keras network for MNIST, wrapped for the Adversarial Robustness Toolbox (ART)."""

import importlib
import warnings
from types import ModuleType
from typing import Any

import keras

from mnist import dataset


def art_module(name: str) -> ModuleType:
    """Imports `art.<name>` without its warnings about missing libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return importlib.import_module(f'art.{name}')


def art_network(network: keras.Model) -> Any:
    """The estimator that ART's attacks expect, for a network that returns logits."""
    return art_module('estimators.classification').TensorFlowV2Classifier(
        model=network,
        nb_classes=dataset.NUM_CLASSES,
        input_shape=dataset.IMAGE_SHAPE,
        clip_values=(dataset.LOWER, dataset.UPPER),
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
