"""Attacks your own Keras model: any that maps [batch, 28, 28, 1] pixels in [0, 1] to logits.

python examples/own_model.py my_model.keras
"""

import sys

from mnist import dataset  # before Keras, since this package imports TensorFlow quietly
from mnist.pgd_attack import PGDAttack

# isort: split
import keras

if len(sys.argv) != 2:
    sys.exit('usage: python examples/own_model.py my_model.keras')
try:
    model = keras.models.load_model(sys.argv[1])
except (OSError, ValueError) as error:
    sys.exit(f'expected a whole Keras model in {sys.argv[1]}: {error}')
if model.output_shape[1:] != (dataset.NUM_CLASSES,):
    sys.exit(f'expected a model with {dataset.NUM_CLASSES} logits; found {model.output_shape}')
test = dataset.load('test').subset(slice(1000))
attack = PGDAttack(model)  # epsilon=0.3, steps=40, step_size=0.01 unless you say otherwise
x_adv = attack(test.x, test.y, seed=(0, 0))
accuracy = (model.predict(x_adv, verbose=0).argmax(axis=1) == test.y).mean()
print(f'{attack.attack}\naccuracy under attack: {accuracy:.2%} (n = {len(test):,})')
