"""A Keras network on MNIST as the Adversarial Robustness Toolbox takes it."""

import importlib
import warnings
from types import ModuleType
from typing import Any

import keras

from mnist import dataset


def art_module(name: str) -> ModuleType:
    """`art.<name>`, without the warnings that its import gives of libraries that are not there."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return importlib.import_module(f'art.{name}')


def art_network(network: keras.Model) -> Any:
    """The estimator that ART's attacks take, for a network that returns logits."""
    return art_module('estimators.classification').TensorFlowV2Classifier(
        model=network,
        nb_classes=dataset.NUM_CLASSES,
        input_shape=dataset.IMAGE_SHAPE,
        clip_values=(dataset.LOWER, dataset.UPPER),
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
