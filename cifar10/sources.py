"""The released networks: what each one is, and the flags of its training runs."""

from common.networks.registry import Origin

_FAST, _FINE_TUNE, _NATURAL = '--recipe=fast', '--recipe=fine_tune', '--recipe=natural'
_OTHER_SEED = '--seed=216105420'

SOURCES = {
    'A': Origin(
        'adversarially trained, PGD',
        ((_FAST,), (_FINE_TUNE,)),
        purpose="The network to attack: the paper's robust network, trained on a CPU.",
    ),
    'A_prime': Origin(
        'the same with another seed',
        ((_FAST, _OTHER_SEED), (_FINE_TUNE, _OTHER_SEED)),
        purpose='Source of black-box attacks on A by a network like it.',
    ),
    'A_best': Origin(
        'network A trained for 102 epochs on a GPU',
        (('--recipe=long',),),
        stands_for='A',
        purpose="The network that is closest to the paper's robust network.",
    ),
    'A_nat': Origin(
        'naturally trained',
        ((_NATURAL,),),
        purpose='Shows what adversarial training changes; source of black-box attacks on A.',
    ),
    'B': Origin(
        'a plain convolutional network, naturally trained',
        ((_NATURAL, '--network=B', '--train_steps=5850', '--learning_rate=0.1'),),
        purpose='Source of black-box attacks on A by another architecture.',
    ),
}
