# %% [markdown]
# # First steps
#
# A network of your own under attack, in pictures. `examples/notebook.py` makes this notebook from
# `examples/first_steps.py` and runs it.

# %%
from common import AdversarialTraining, attack, robust_accuracy
from common.attacks import PGD
from common.threat_model import LinfBall
from mnist import dataset, model

# isort: split
import keras
import matplotlib.pyplot as plt
import numpy as np

test = dataset.load('test').subset(slice(None, None, 200))
x, y = test.x, test.y  # 50 of MNIST's test images; pixels from 0 to 1


def show(*rows):
    """Rows of images, one below the other."""
    _, axes = plt.subplots(len(rows), 10, figsize=(8, 0.9 * len(rows)), dpi=60)
    for line, images in zip(axes.reshape(len(rows), 10), rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image[..., 0], cmap='gray', vmin=0, vmax=1)
            axis.axis('off')
    plt.show()


# %% [markdown]
# ## A naturally trained network
#
# Almost perfect on the images as they are. `attack` moves every pixel by at most 0.1:

# %%
natural = model.load('A_nat')  # any Keras model that returns logits
x_adv = attack(natural, x, y, 'pgd', epsilon=0.1, bounds=(0, 1), verbose=False)
for name, images in (('natural', x), ('attacked', x_adv)):
    right = natural.predict(images, verbose=0).argmax(axis=1) == y
    print(f'{name}: {right.mean():.0%} right (n = {len(y)})')
show(x[:10], x_adv[:10])

# %% [markdown]
# ## An adversarially trained network
#
# The verdict on it, at three times that radius: a cascade of attacks, each on the images that are
# left, and checks of whether the result is what it seems.

# %%
robust = model.load('A')
verdict = robust_accuracy(robust, x, y, epsilon=0.3, bounds=(0, 1), preset='quick', verbose=False)
print(verdict)

# %% [markdown]
# The worst example of each image is part of the verdict; those that fool the network first:

# %%
fooled = ~verdict.survived
print('broken by', ', '.join(verdict.broken_by[fooled]))
order = np.argsort(verdict.survived, kind='stable')[:10]  # those that are fooled first
show(x[order], verdict.x_adv[order])

# %% [markdown]
# ## Training one
#
# `AdversarialTraining` is a `keras.Model` for `compile` and `fit`; a minute of it on a tenth of the
# training images, at the radius 0.1.

# %%
layers = keras.layers
keras.utils.set_random_seed(0)
mine = keras.Sequential(
    [
        keras.Input(dataset.IMAGE_SHAPE),
        layers.Conv2D(16, 5, strides=2, activation='relu'),
        layers.Conv2D(32, 5, strides=2, activation='relu'),
        layers.Flatten(),
        layers.Dense(10),
    ]
)
train = dataset.load('train').subset(slice(6000))
training = AdversarialTraining(mine, PGD(LinfBall(0.1), steps=5, step_size=0.04))
training.compile('adam', metrics=['accuracy'])
training.fit(train.x, train.y, batch_size=50, epochs=4, verbose=2)
x_adv = attack(mine, x, y, 'pgd', epsilon=0.1, bounds=(0, 1), verbose=False)
right = mine.predict(x_adv, verbose=0).argmax(axis=1) == y
print(f'under the attack that fooled the first network: {right.mean():.0%} right')
