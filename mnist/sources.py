"""The released networks: what each one is, and the flags of its training runs."""

from common.networks.registry import Origin

SOURCES = {
    'A': Origin(
        'adversarially trained, PGD',
        (('--recipe=fast',),),
        purpose="The network to attack: the paper's robust network.",
    ),
    'A_prime': Origin(
        'the same with another seed',
        (('--recipe=fast', '--seed=7311060'),),
        purpose='Source of black-box attacks on A by a network like it.',
    ),
    'A_best': Origin(
        'network A trained on, for the greatest worst-case accuracy',
        (('--recipe=strong',), ('--recipe=stronger',)),
        purpose='The network that is hardest to attack.',
    ),
    'A_nat': Origin(
        'naturally trained',
        (('--recipe=fast', '--adversary=none'),),
        purpose='Shows what adversarial training changes; source of black-box attacks on A.',
    ),
    'B': Origin(
        'architecture B, naturally trained',
        (('--recipe=fast', '--network=B', '--adversary=none'),),
        purpose='Source of black-box attacks on A by another architecture.',
    ),
}
