"""The released networks: what each is, and the commands that train it."""

from common.networks.registry import Origin

SOURCES = {
    'A': Origin('adversarially trained, PGD', (('--recipe=fast',),)),
    'A_prime': Origin('the same with another seed', (('--recipe=fast', '--seed=7311060'),)),
    'A_best': Origin(
        'network A trained on, for the greatest worst-case accuracy',
        (('--recipe=strong',), ('--recipe=stronger',)),
    ),
    'A_nat': Origin('naturally trained', (('--recipe=fast', '--adversary=none'),)),
    'B': Origin(
        'architecture B, naturally trained', (('--recipe=fast', '--network=B', '--adversary=none'),)
    ),
}
