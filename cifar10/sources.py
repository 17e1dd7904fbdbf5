"""The released networks: what each is, and the commands that train it."""

from common.networks.registry import Origin

_FAST, _FINE_TUNE, _NATURAL = '--recipe=fast', '--recipe=fine_tune', '--recipe=natural'
_OTHER_SEED = '--seed=216105420'

SOURCES = {
    'A': Origin('adversarially trained, PGD', ((_FAST,), (_FINE_TUNE,))),
    'A_prime': Origin(
        'the same with another seed', ((_FAST, _OTHER_SEED), (_FINE_TUNE, _OTHER_SEED))
    ),
    'A_best': Origin(
        'network A trained for 102 epochs on a GPU', (('--recipe=long',),), stands_for='A'
    ),
    'A_nat': Origin('naturally trained', ((_NATURAL,),)),
    'B': Origin(
        'a plain convolutional network, naturally trained',
        ((_NATURAL, '--network=B', '--train_steps=5850', '--learning_rate=0.1'),),
    ),
}
